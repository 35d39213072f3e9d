"""Deletes every version of every object in the buckets of a stack, because CloudFormation deletes no bucket that holds any.

    python3 tools/empty_buckets.py STACK

Under Object Lock in governance mode, that takes s3:BypassGovernanceRetention. In compliance mode nothing is deleted before its retention ends.
"""

import sys

import boto3
from botocore.exceptions import ClientError


def buckets_of(stack_name):
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack_name)
    for page in pages:
        for resource in page["StackResourceSummaries"]:
            is_there = resource["ResourceStatus"] not in ("DELETE_COMPLETE", "DELETE_SKIPPED")
            if resource["ResourceType"] == "AWS::S3::Bucket" and is_there:
                yield resource["PhysicalResourceId"]


def is_locked(s3, bucket):
    try:
        return "ObjectLockConfiguration" in s3.get_object_lock_configuration(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ObjectLockConfigurationNotFoundError":
            return False
        raise


def empty(s3, bucket):
    """Returns how many versions were deleted, and the errors of those that were not."""
    # Asked for only where it means something: the request needs the right even for versions that are not locked.
    bypass = {"BypassGovernanceRetention": True} if is_locked(s3, bucket) else {}
    deleted, errors = 0, []
    # A page has 1,000 entries at most, which is also the most that one DeleteObjects takes.
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        versions = page.get("Versions", []) + page.get("DeleteMarkers", [])
        if versions:
            objects = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True}, **bypass)
            failed = answer.get("Errors", [])
            errors += failed
            deleted += len(objects) - len(failed)
    return deleted, errors


def main(stack_name):
    s3 = boto3.client("s3")
    is_empty = True
    for bucket in buckets_of(stack_name):
        deleted, errors = empty(s3, bucket)
        print(f"{bucket}: {deleted} versions deleted")
        if errors:
            is_empty = False
            first = errors[0]
            print(f"{bucket}: {len(errors)} versions are left, such as {first['Key']}: {first['Code']} {first.get('Message', '')}")
    if not is_empty:
        sys.exit("Not every bucket is empty. Locked versions: docs/first-deploy.md says who may delete them, and when.")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python3 tools/empty_buckets.py STACK")
    try:
        main(sys.argv[1])
    except ClientError as error:
        sys.exit(f"cannot empty the buckets of {sys.argv[1]}: {error}")

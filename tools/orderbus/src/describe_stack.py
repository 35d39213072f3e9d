# Prints the outputs of a stack, and with which credentials it was asked: whatever the AWS CLI would use.
import json, sys
import boto3

session = boto3.Session()
credentials = session.get_credentials()
if credentials is None:
    sys.exit("there are no AWS credentials: choose a profile with AWS_PROFILE, or sign in")
if session.region_name is None:
    sys.exit("there is no AWS region: set AWS_DEFAULT_REGION, or one in the profile")
stacks = session.client("cloudformation").describe_stacks(StackName=sys.argv[1])["Stacks"]
key = credentials.get_frozen_credentials()
print(json.dumps({
    "accessKey": key.access_key,
    "secretKey": key.secret_key,
    "sessionToken": key.token,
    "region": session.region_name,
    "outputs": {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])},
}))

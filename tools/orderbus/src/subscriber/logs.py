# Prints what a function logged last, oldest first: of a stack, the one whose log group has this logical id; without one, the
# one whose log group the stack names.
import sys
import boto3

stack_name, logical_id = sys.argv[1], (sys.argv[2:] or [None])[0]
cloudformation = boto3.client("cloudformation")
if logical_id is None:
    stacks = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
    log_group = outputs["LogGroupName"]
else:
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_name)
    resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    found = [one["PhysicalResourceId"] for one in resources if one["LogicalResourceId"] == logical_id]
    log_group = found[0] if found else sys.exit(f"it has no {logical_id}: deploy it with cargo orderbus local")
pages = boto3.client("logs").get_paginator("filter_log_events").paginate(logGroupName=log_group)
events = sorted((event for page in pages for event in page["events"]), key=lambda event: event["timestamp"])
for event in events[-100:]:
    print(event["message"].rstrip())

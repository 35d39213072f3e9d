# Prints what the function of a subscriber's stack logged last, oldest first.
import sys
import boto3

stacks = boto3.client("cloudformation").describe_stacks(StackName=sys.argv[1])["Stacks"]
outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
pages = boto3.client("logs").get_paginator("filter_log_events").paginate(logGroupName=outputs["LogGroupName"])
events = sorted((event for page in pages for event in page["events"]), key=lambda event: event["timestamp"])
for event in events[-100:]:
    print(event["message"].rstrip())

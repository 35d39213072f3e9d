# Prints the names of a stack's rules, by logical id: CloudFormation may have shortened them.
import json, sys
import boto3

pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=sys.argv[1])
resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
rules = [resource for resource in resources if resource["ResourceType"] == "AWS::Events::Rule"]
# On a bus of one's own the physical id is bus|rule.
print(json.dumps({rule["LogicalResourceId"]: rule["PhysicalResourceId"].split("|")[-1] for rule in rules}))

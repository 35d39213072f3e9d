# Prints the environment of a function: what it is told, so that a person's command behaves as it does.
import json, sys
import boto3

configuration = boto3.client("lambda").get_function_configuration(FunctionName=sys.argv[1])
print(json.dumps(configuration.get("Environment", {}).get("Variables", {})))

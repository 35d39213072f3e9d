"""Prints, as JSON, in which regions each resource type of the templates is missing by cfn-lint's data, and how many regions it knows."""

import json
import sys

from cfnlint.decode.cfn_yaml import load
from cfnlint.helpers import REGIONS
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

types = sorted({resource["Type"] for path in sys.argv[1:] for resource in load(path)["Resources"].values()})
known = {region: set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region=region)) for region in REGIONS}
ours = [name for name in types if not name.startswith("AWS::Serverless::")]
lacking = {name: sorted(region for region in REGIONS if name not in known[region]) for name in ours}
json.dump({"regions": len(REGIONS), "lacking": {name: regions for name, regions in lacking.items() if regions}}, sys.stdout)

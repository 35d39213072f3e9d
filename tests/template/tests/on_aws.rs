//! What the template must keep to on the real AWS, where nothing here deploys it.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use template_tests::{logical_id, read, subscribers, template};

fn of_type(kind: &str) -> Vec<(String, Value)> {
    let template = template("template.yaml");
    let resources = template["Resources"].as_object().unwrap().clone().into_iter();
    let all: Vec<_> = resources.filter(|(_, resource)| resource["Type"] == kind).collect();
    assert!(!all.is_empty(), "no {kind}");
    all
}

/// Everything in a value that is an object, the value itself included.
fn objects(value: &Value) -> Vec<&serde_json::Map<String, Value>> {
    match value {
        Value::Object(map) => std::iter::once(map).chain(map.values().flat_map(objects)).collect(),
        Value::Array(items) => items.iter().flat_map(objects).collect(),
        _ => vec![],
    }
}

/// The resources that hold data.
const KEPT: [&str; 3] = ["AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key"];

/// `AWS::LanguageExtensions` refuses `RetainExceptOnCreate` and resolves `Fn::Sub` early, `${!…}` included.
#[test]
fn sam_is_the_only_transform() {
    for path in
        ["template.yaml", "examples/payment-provider/template.yaml", "examples/loyalty-points/template.yaml"]
    {
        assert_eq!(template(path)["Transform"], "AWS::Serverless-2016-10-31", "{path}");
        assert!(!read(path).contains("${!"), "{path}");
    }
}

#[test]
fn a_first_deployment_that_fails_leaves_nothing_behind_and_every_other_one_keeps_the_data() {
    let template = template("template.yaml");
    for kind in KEPT {
        for (id, resource) in of_type(kind) {
            let on_deletion = json!({"If": ["IsProtected", "RetainExceptOnCreate", "Delete"]});
            assert_eq!(resource["DeletionPolicy"], on_deletion, "{id}");
            let on_replacement = json!({"If": ["IsProtected", "Retain", "Delete"]});
            assert_eq!(resource["UpdateReplacePolicy"], on_replacement, "{id}");
        }
    }
    assert_eq!(
        template["Conditions"]["IsProtected"],
        json!({"Not": [{"Equals": [{"Ref": "Protect"}, "false"]}]})
    );
    // DynamoDB deletes no table that is locked, so the rollback of a first deployment would fail.
    for (id, table) in of_type("AWS::DynamoDB::Table") {
        let locked = &table["Properties"]["DeletionProtectionEnabled"];
        assert_eq!(*locked, json!({"If": ["IsLocked", true, false]}), "{id}");
    }
    assert_eq!(template["Conditions"]["IsLocked"], json!({"Equals": [{"Ref": "Protect"}, "locked"]}));
    assert_eq!(template["Parameters"]["Protect"]["Default"], "true");
}

#[test]
fn where_its_endpoints_are_not_trusted_it_is_refused_with_a_sentence() {
    let template = template("template.yaml");
    let rule = &template["Rules"]["OnlyWhereItsEndpointsAreTrusted"];
    assert!(rule["RuleCondition"].is_null(), "it holds always");
    let [assertion] = &rule["Assertions"].as_array().unwrap()[..] else { panic!("one assertion") };
    assert_eq!(assertion["Assert"], json!({"Equals": [{"Ref": "AWS::Partition"}, "aws"]}));
    assert!(assertion["AssertDescription"].as_str().unwrap().ends_with('.'));
}

#[test]
fn no_arn_names_a_partition() {
    let template = read("template.yaml");
    for line in template.lines().filter(|line| line.contains("arn:aws")) {
        let is_about_arns = line.contains("AllowedPattern:") || line.trim_start().starts_with("payments=");
        assert!(is_about_arns, "{line}");
    }
}

#[test]
fn the_bus_s_own_dead_letters_and_the_alarms_need_no_key() {
    let template = template("template.yaml");
    let resources = &template["Resources"];
    let bus = &resources["Bus"]["Properties"];
    assert_eq!(bus["DeadLetterConfig"]["Arn"], json!({"GetAtt": "BusDeadLetterQueue.Arn"}));
    let policy = &resources["BusDeadLetterQueuePolicy"]["Properties"];
    assert_eq!(policy["Queues"], json!([{"Ref": "BusDeadLetterQueue"}]));
    let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
    let allow = statements.iter().find(|statement| statement["Effect"] == "Allow").unwrap();
    assert_eq!(allow["Condition"]["ArnEquals"]["aws:SourceArn"], json!({"GetAtt": "Bus.Arn"}));
    assert_eq!(resources["BusDeadLetterAlarm"]["Type"], "AWS::CloudWatch::Alarm");
    // Everything that alarms does so on the topic without a key.
    for (id, alarm) in of_type("AWS::CloudWatch::Alarm") {
        assert_eq!(alarm["Properties"]["AlarmActions"], json!([{"Ref": "AlarmTopic"}]), "{id}");
    }
    let key = resources["Key"]["Properties"]["KeyPolicy"].to_string();
    assert!(!key.contains("cloudwatch.amazonaws.com"), "a right that nobody uses");
}

/// A schedule's runs leave data, its silence leaves none, and neither does a first hour.
#[test]
fn no_alarm_goes_off_because_nothing_has_happened_yet() {
    let mut of_silence = vec![];
    for (id, alarm) in of_type("AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        if properties["ComparisonOperator"] == "LessThanThreshold" {
            assert_eq!(properties["TreatMissingData"], "missing", "{id}");
            assert_eq!(properties["InsufficientDataActions"], json!([{"Ref": "AlarmTopic"}]), "{id}");
            of_silence.push(id);
        } else {
            assert_eq!(properties["ComparisonOperator"], "GreaterThanThreshold", "{id}");
            assert_eq!(properties["TreatMissingData"], "notBreaching", "{id}");
            assert!(properties["InsufficientDataActions"].is_null(), "{id}");
        }
    }
    assert_eq!(of_silence, ["DlqReprocessorSilentAlarm", "LakeCompactorSilentAlarm"]);
}

#[test]
fn whatever_is_late_throttled_or_lost_has_an_alarm() {
    let template = template("template.yaml");
    let alarm = |id: String, metric: Value| {
        let properties = &template["Resources"][&id]["Properties"];
        let own = json!([properties["Namespace"], properties["MetricName"], properties["Dimensions"]]);
        assert_eq!(own, metric, "{id}");
    };
    for (id, _) in of_type("AWS::Serverless::Function") {
        let name = id.strip_suffix("Function").unwrap();
        let function = json!([{"Name": "FunctionName", "Value": {"Ref": id}}]);
        alarm(format!("{name}ThrottledAlarm"), json!(["AWS/Lambda", "Throttles", function]));
    }
    for (id, queue) in of_type("AWS::SQS::Queue") {
        if queue["Properties"]["RedrivePolicy"].is_null() {
            continue;
        }
        let name = id.strip_suffix("Queue").unwrap();
        let queue = json!([{"Name": "QueueName", "Value": {"GetAtt": format!("{id}.QueueName")}}]);
        let metric = json!(["AWS/SQS", "ApproximateAgeOfOldestMessage", queue]);
        alarm(format!("{name}OldestMessageAlarm"), metric);
    }
    for (id, _) in of_type("AWS::Events::Rule") {
        let name = id.strip_suffix("Rule").unwrap();
        // Ref of a rule on a bus of one's own is `bus|rule`; its ARN ends in `rule/bus/rule`.
        let rule = json!({"Select": [2, {"Split": ["/", {"GetAtt": format!("{id}.Arn")}]}]});
        let dimensions = json!([
            {"Name": "EventBusName", "Value": {"Ref": "Bus"}},
            {"Name": "RuleName", "Value": rule},
        ]);
        let metric = json!(["AWS/Events", "InvocationsFailedToBeSentToDlq", dimensions]);
        alarm(format!("{name}EventsLostAlarm"), metric);
    }
}

/// AWS documents this form for keys with several values (Using IAM policy conditions in Amazon EventBridge); for one it is
/// the same as `StringEquals`. Without `Null`, `ForAllValues` holds of no value at all.
#[test]
fn every_condition_on_what_an_event_is_has_the_same_form() {
    let mut places = 0;
    for path in ["template.yaml", "examples/payment-provider/template.yaml"] {
        let template = template(path);
        for conditions in objects(&template).into_iter().filter_map(|map| map.get("Condition")) {
            let keys = |operator: &str| -> BTreeSet<String> {
                let keys = conditions[operator].as_object().into_iter().flat_map(serde_json::Map::keys);
                keys.filter(|key| ["events:source", "events:detail-type"].contains(&key.as_str()))
                    .cloned()
                    .collect()
            };
            let operators = conditions.as_object().into_iter().flat_map(serde_json::Map::keys);
            let used: BTreeSet<&String> = operators.filter(|operator| !keys(operator).is_empty()).collect();
            if used.is_empty() {
                continue;
            }
            assert_eq!(used.into_iter().collect::<Vec<_>>(), ["ForAllValues:StringEquals", "Null"], "{path}");
            assert_eq!(keys("Null"), keys("ForAllValues:StringEquals"), "{path}: {conditions}");
            for key in keys("Null") {
                assert_eq!(conditions["Null"][&key], "false", "{path}: {conditions}");
            }
            places += 1;
        }
    }
    assert!(places > 10, "{places}");
}

#[test]
fn logs_that_aws_delivers_take_no_room_in_the_account_s_log_policy() {
    let template = template("template.yaml");
    let resources = template["Resources"].as_object().unwrap();
    let logs = |properties: &Value| -> Option<String> {
        let stage = &properties["AccessLogSettings"]["DestinationArn"]["GetAtt"];
        let machine = &properties["LoggingConfiguration"]["Destinations"][0]["CloudWatchLogsLogGroup"]["LogGroupArn"]
            ["GetAtt"];
        Some(stage.as_str().or(machine.as_str())?.strip_suffix(".Arn")?.to_owned())
    };
    let delivered: BTreeSet<String> =
        resources.values().filter_map(|resource| logs(&resource["Properties"])).collect();
    assert_eq!(delivered, ["ApiLogs", "CheckoutLogs"].map(str::to_owned).into());
    for id in delivered {
        let name = resources[&id]["Properties"]["LogGroupName"]["Sub"].as_str().unwrap();
        assert!(name.starts_with("/aws/vendedlogs/") && name.contains("${Environment}"), "{id}: {name}");
    }
}

#[test]
fn who_reads_a_bucket_with_personal_data_is_logged() {
    const ACCESS_LOGS: &str = "LakeAccessLogsBucket";
    let template = template("template.yaml");
    let statements =
        &template["Resources"]["LakeAccessLogsBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"];
    for (id, bucket) in of_type("AWS::S3::Bucket").into_iter().filter(|(id, _)| id != ACCESS_LOGS) {
        let logging = &bucket["Properties"]["LoggingConfiguration"];
        assert_eq!(logging["DestinationBucketName"], json!({"Ref": ACCESS_LOGS}), "{id}");
        let prefix = logging["LogFilePrefix"].as_str().unwrap_or_else(|| panic!("{id} has no prefix"));
        let expected = json!({
            "ArnLike": {"aws:SourceArn": {"GetAtt": format!("{id}.Arn")}},
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        });
        let statement = statements.as_array().unwrap().iter().find(|one| one["Condition"] == expected);
        let statement = statement.unwrap_or_else(|| panic!("S3 may not log {id}"));
        assert_eq!(statement["Principal"], json!({"Service": "logging.s3.amazonaws.com"}), "{id}");
        assert_eq!(statement["Action"], "s3:PutObject", "{id}");
        let place = format!("${{{ACCESS_LOGS}.Arn}}/{prefix}*");
        assert_eq!(statement["Resource"], json!({"Sub": place}), "{id}");
    }
}

#[test]
fn a_fulfilment_centre_of_another_account_subscribes_queues_and_nothing_else_and_only_when_named() {
    let template = template("template.yaml");
    assert_eq!(template["Parameters"]["FulfilmentAccounts"]["Default"], "");
    let statements =
        &template["Resources"]["FulfilmentTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"];
    let [condition, statement, otherwise] = &statements[0]["If"].as_array().unwrap()[..] else { panic!() };
    assert_eq!(condition, "HasFulfilmentAccounts");
    assert_eq!(*otherwise, json!({"Ref": "AWS::NoValue"}));
    assert_eq!(statement["Principal"], json!({"AWS": {"Ref": "FulfilmentAccounts"}}));
    assert_eq!(statement["Action"], "sns:Subscribe");
    assert_eq!(statement["Resource"], json!({"Ref": "FulfilmentTopic"}));
    assert_eq!(statement["Condition"], json!({"StringEquals": {"sns:Protocol": "sqs"}}));
    for statement in statements.as_array().unwrap().iter().skip(1) {
        assert_eq!(statement["Effect"], "Deny", "{statement}");
    }
}

/// A new account has a quota of ten, and Lambda leaves a hundred unreserved.
#[test]
fn consumers_add_up_to_what_the_parameter_says_and_a_new_account_can_deploy() {
    let template = template("template.yaml");
    let of_subscribers: BTreeSet<String> =
        subscribers().iter().map(|name| format!("{}Function", logical_id(name))).collect();
    let mut consumers = 0;
    for (id, function) in of_type("AWS::Serverless::Function") {
        let mapping = &function["Properties"]["Events"]["Queue"]["Properties"];
        let reserved = &function["Properties"]["ReservedConcurrentExecutions"];
        if id == "OrderApiFunction" {
            let expected = json!({"If": ["OrderApiHasReserve", {"Ref": "OrderApiReservedConcurrency"}, {"Ref": "AWS::NoValue"}]});
            assert_eq!(*reserved, expected);
        } else {
            assert!(reserved.is_null(), "{id}");
        }
        if mapping.is_null() {
            continue;
        }
        let each = json!({"FindInMap": ["Concurrency", {"Ref": "ConsumerConcurrency"}, "PerConsumer"]});
        assert_eq!(mapping["ScalingConfig"]["MaximumConcurrency"], each, "{id}");
        consumers += i64::from(!of_subscribers.contains(&id));
    }
    let totals = template["Mappings"]["Concurrency"].as_object().unwrap();
    let parameter = &template["Parameters"]["ConsumerConcurrency"];
    let allowed: BTreeSet<&str> =
        parameter["AllowedValues"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(allowed, totals.keys().map(String::as_str).collect());
    for (total, each) in totals {
        let each = each["PerConsumer"].as_i64().unwrap();
        assert!(each >= 2, "an event source mapping takes no less than 2");
        assert_eq!((consumers * each).to_string(), *total);
    }
    let least = totals.keys().min_by_key(|total| total.parse::<i64>().unwrap()).unwrap();
    assert_eq!(parameter["Default"], least.as_str());
    assert_eq!(template["Parameters"]["OrderApiReservedConcurrency"]["Default"], 0);
    let has_reserve = json!({"Not": [{"Equals": [{"Ref": "OrderApiReservedConcurrency"}, 0]}]});
    assert_eq!(template["Conditions"]["OrderApiHasReserve"], has_reserve);
}

/// The services through which a role may use the key are those that it has rights in.
#[test]
fn no_role_may_use_the_key_through_a_service_that_it_does_not_use() {
    // What takes only Decrypt and GenerateDataKey of its callers; DynamoDB takes Encrypt and DescribeKey besides.
    let of_data_keys = ["kms:Decrypt", "kms:GenerateDataKey"];
    for (id, role) in of_type("AWS::IAM::Role") {
        for policy in role["Properties"]["Policies"].as_array().unwrap() {
            let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
            let texts = |value: &Value| -> Vec<String> {
                let one =
                    |text: &Value| text.as_str().or(text["Sub"].as_str()).unwrap_or_default().to_owned();
                value.as_array().map_or_else(|| vec![one(value)], |values| values.iter().map(one).collect())
            };
            let actions: BTreeMap<String, ()> =
                statements.iter().flat_map(|one| texts(&one["Action"])).map(|action| (action, ())).collect();
            for statement in statements {
                let through = &statement["Condition"]["StringEquals"]["kms:ViaService"];
                if through.is_null() {
                    continue;
                }
                let services: Vec<String> = texts(through);
                for service in &services {
                    let prefix = format!("{}:", service.split('.').next().unwrap());
                    assert!(actions.keys().any(|action| action.starts_with(&prefix)), "{id}: {service}");
                }
                if !services.iter().any(|service| service.starts_with("dynamodb.")) {
                    let rights = texts(&statement["Action"]);
                    assert!(
                        rights.iter().all(|right| of_data_keys.contains(&right.as_str())),
                        "{id}: {rights:?}"
                    );
                }
            }
        }
    }
}

/// README and docs/replay.md name, for people, what each command takes; whatever reads what is encrypted takes the key too.
#[test]
fn the_rights_of_people_include_the_key() {
    let readme = read("README.md");
    let tail = readme.split("Its queue is under the stack's key").nth(1).unwrap();
    let tail = tail.split("\n\n").next().unwrap_or(tail);
    for right in ["kms:Decrypt", "kms:DescribeKey", "KeyArn"] {
        assert!(tail.contains(right), "tail: {right}");
    }
    let replay = read("docs/replay.md");
    for row in replay.lines().filter(|line| line.starts_with("| ") && line.contains("sqs:SendMessage")) {
        assert!(row.contains("kms:GenerateDataKey") && row.contains("kms:Decrypt"), "{row}");
    }
    for row in replay.lines().filter(|line| line.starts_with("| ") && line.contains("s3:GetObject")) {
        assert!(row.contains("kms:Decrypt"), "{row}");
    }
}

#[test]
fn the_schema_registry_has_a_switch_of_its_own_and_is_refused_where_there_is_none() {
    let template = template("template.yaml");
    assert_eq!(template["Resources"]["Schemas"]["Condition"], "HasSchemaRegistry");
    let parts = &template["Conditions"]["HasSchemaRegistry"]["And"];
    let expected = json!([{"Condition": "IsOnAws"}, {"Equals": [{"Ref": "SchemaRegistry"}, "true"]}]);
    assert_eq!(*parts, expected);
    let rule = &template["Rules"]["SchemaRegistryIsInThisRegion"];
    assert_eq!(rule["RuleCondition"], json!({"Equals": [{"Ref": "SchemaRegistry"}, "true"]}));
    assert!(rule["Assertions"][0]["AssertDescription"].as_str().unwrap().contains("SchemaRegistry=false"));
}

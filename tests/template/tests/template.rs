//! `template.yaml`: every function has its block, and every block keeps the rules.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use contracts::EventType;
use serde_json::{Value, json};
use template_tests::{logical_id, read, root, template};

/// Every resource of the template, by logical id.
fn resources() -> Vec<(String, Value)> {
    let template = template("template.yaml");
    template["Resources"].as_object().unwrap().clone().into_iter().collect()
}

fn of_type(kind: &str) -> Vec<(String, Value)> {
    let all: Vec<_> = resources().into_iter().filter(|(_, resource)| resource["Type"] == kind).collect();
    assert!(!all.is_empty(), "no {kind}");
    all
}

fn functions() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("functions")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The functions behind a queue.
fn consumers() -> Vec<String> {
    const WITHOUT_A_QUEUE: [&str; 5] =
        ["dlq-reprocessor", "event-gateway", "lake-api", "lake-compactor", "order-api"];
    functions().into_iter().filter(|name| !WITHOUT_A_QUEUE.contains(&name.as_str())).collect()
}

#[test]
fn every_folder_of_a_function_is_deployed_and_nothing_else_is() {
    let deployed: BTreeSet<String> = of_type("AWS::Serverless::Function")
        .into_iter()
        .map(|(id, function)| {
            let folder = function["Properties"]["CodeUri"].as_str().unwrap().to_owned();
            let name = folder.strip_prefix("functions/").unwrap().trim_end_matches('/').to_owned();
            assert_eq!(id, format!("{}Function", logical_id(&name)));
            assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda", "{id}");
            name
        })
        .collect();
    assert_eq!(deployed, functions());
}

#[test]
fn a_function_reads_every_variable_that_it_is_given() {
    let resources = template("template.yaml")["Resources"].clone();
    for name in functions() {
        let variables =
            &resources[format!("{}Function", logical_id(&name))]["Properties"]["Environment"]["Variables"];
        let config = read(&format!("functions/{name}/src/config.rs"));
        for variable in variables.as_object().unwrap().keys() {
            assert!(config.contains(&format!("\"{variable}\"")), "{name} does not read {variable}");
        }
    }
}

#[test]
fn every_consumer_has_a_whole_block() {
    let template = template("template.yaml");
    let resources = &template["Resources"];
    for name in consumers() {
        let id = logical_id(&name);
        for (part, kind) in [
            ("Rule", "AWS::Events::Rule"),
            ("Queue", "AWS::SQS::Queue"),
            ("DeadLetterQueue", "AWS::SQS::Queue"),
            ("QueuePolicy", "AWS::SQS::QueuePolicy"),
            ("Role", "AWS::IAM::Role"),
            ("Function", "AWS::Serverless::Function"),
            ("Logs", "AWS::Logs::LogGroup"),
            ("DeadLetterAlarm", "AWS::CloudWatch::Alarm"),
            ("OldestMessageAlarm", "AWS::CloudWatch::Alarm"),
            ("ThrottledAlarm", "AWS::CloudWatch::Alarm"),
            ("EventsLostAlarm", "AWS::CloudWatch::Alarm"),
        ] {
            assert_eq!(resources[format!("{id}{part}")]["Type"], kind, "{id}{part}");
        }
        let queue = &resources[format!("{id}Queue")]["Properties"];
        let dead_letters = json!({"GetAtt": format!("{id}DeadLetterQueue.Arn")});
        assert_eq!(queue["RedrivePolicy"]["deadLetterTargetArn"], dead_letters, "{id}");

        let target = &resources[format!("{id}Rule")]["Properties"]["Targets"][0];
        assert_eq!(target["Arn"], json!({"GetAtt": format!("{id}Queue.Arn")}), "{id}");
        assert!(target["DeadLetterConfig"]["Arn"].is_object(), "{id}: undelivered events are lost");

        let statements = &resources[format!("{id}QueuePolicy")]["Properties"]["PolicyDocument"]["Statement"];
        let source = json!({"GetAtt": format!("{id}Rule.Arn")});
        let allow = statements.as_array().unwrap().iter().find(|one| one["Effect"] == "Allow").unwrap();
        assert_eq!(allow["Condition"]["ArnEquals"]["aws:SourceArn"], source, "{id}: only its rule may send");

        let function = &resources[format!("{id}Function")]["Properties"];
        let mapping = &function["Events"]["Queue"]["Properties"];
        assert_eq!(mapping["Queue"], json!({"GetAtt": format!("{id}Queue.Arn")}), "{id}");
        assert_eq!(mapping["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]), "{id}");
    }
}

fn strings(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn every_rule_asks_for_events_of_the_catalogue() {
    let sources: BTreeSet<&str> = EventType::ALL.iter().map(|event_type| event_type.source()).collect();
    for (id, rule) in of_type("AWS::Events::Rule") {
        let pattern = &rule["Properties"]["EventPattern"];
        for wanted in pattern["detail-type"].as_array().into_iter().flatten() {
            let wanted = wanted.as_str().unwrap();
            assert!(EventType::parse(wanted).is_some(), "{id}: {wanted} is not in the catalogue");
        }
        for wanted in pattern["source"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(sources.contains(wanted), "{id}: nobody publishes as {wanted}");
        }
        // A partner may publish under its own source alone: beside its source, a type cannot be forged.
        let named: BTreeSet<&str> = strings(&pattern["source"]);
        let needed: BTreeSet<&str> =
            strings(&pattern["detail-type"]).into_iter().filter_map(|name| name.split('.').next()).collect();
        assert!(needed.is_empty() || named == needed, "{id}: source has to be {needed:?} beside detail-type");
        assert!(pattern["detail-type"].is_array() || pattern["source"].is_array(), "{id}: no pattern");
    }
}

#[test]
fn a_message_stays_hidden_for_six_time_outs() {
    let template = template("template.yaml");
    for (pace, settings) in template["Mappings"]["Pace"].as_object().unwrap() {
        let of = |name: &str| settings[name].as_i64().unwrap_or_else(|| panic!("{pace}: {name}"));
        let time_out = of("FunctionTimeoutSeconds");
        assert!(of("VisibilityTimeoutSeconds") >= 6 * time_out, "{pace}");
    }
}

#[test]
fn everything_that_keeps_data_is_encrypted_with_the_customer_key() {
    let key = [json!({"GetAtt": "Key.Arn"}), json!({"Ref": "Key"})];
    let check = |kind: &str, find: fn(&Value) -> &Value| {
        for (id, resource) in of_type(kind) {
            assert!(key.contains(find(&resource["Properties"])), "{id} is not encrypted with the key");
        }
    };
    for (id, queue) in of_type("AWS::SQS::Queue") {
        let properties = &queue["Properties"];
        if WITHOUT_THE_KEY.contains(&id.as_str()) {
            assert_eq!(properties["SqsManagedSseEnabled"], true, "{id} is not encrypted");
            assert!(properties["KmsMasterKeyId"].is_null(), "{id} fails with the key");
        } else {
            assert!(key.contains(&properties["KmsMasterKeyId"]), "{id} is not encrypted with the key");
        }
    }
    for (id, topic) in of_type("AWS::SNS::Topic") {
        let own = &topic["Properties"]["KmsMasterKeyId"];
        let needs_none = WITHOUT_THE_KEY.contains(&id.as_str());
        assert!(if needs_none { own.is_null() } else { key.contains(own) }, "{id}: {own}");
    }
    check("AWS::DynamoDB::Table", |table| &table["SSESpecification"]["KMSMasterKeyId"]);
    check("AWS::Logs::LogGroup", |group| &group["KmsKeyId"]);
    check("AWS::Events::EventBus", |bus| &bus["KmsKeyIdentifier"]);
    for (id, bucket) in of_type("AWS::S3::Bucket") {
        let by_default = &bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]["ServerSideEncryptionByDefault"];
        if id == ACCESS_LOGS {
            assert_eq!(by_default["SSEAlgorithm"], "AES256", "S3 logs to no bucket with a customer key");
        } else {
            assert!(key.contains(&by_default["KMSMasterKeyID"]), "{id} is not encrypted with the key");
        }
    }
}

/// What has to work when the key does not.
const WITHOUT_THE_KEY: [&str; 3] = ["BusDeadLetterQueue", "UndeliveredQueue", "AlarmTopic"];

/// The bucket that keeps no events, but who asked for them.
const ACCESS_LOGS: &str = "LakeAccessLogsBucket";

#[test]
fn every_bucket_is_private_keeps_versions_and_refuses_clear_text() {
    let policies = of_type("AWS::S3::BucketPolicy");
    for (id, bucket) in of_type("AWS::S3::Bucket") {
        let properties = &bucket["Properties"];
        let blocked = &properties["PublicAccessBlockConfiguration"];
        for way in ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"] {
            assert_eq!(blocked[way], true, "{id}: {way}");
        }
        assert_eq!(properties["VersioningConfiguration"]["Status"], "Enabled", "{id}");
        assert_eq!(
            properties["OwnershipControls"]["Rules"][0]["ObjectOwnership"], "BucketOwnerEnforced",
            "{id}"
        );
        let policy = policies.iter().find(|(_, policy)| policy["Properties"]["Bucket"] == json!({"Ref": id}));
        let statements = policy.unwrap_or_else(|| panic!("{id} has no policy")).1["Properties"]["PolicyDocument"]["Statement"].clone();
        let refuses = |statement: &Value| {
            let whole = json!([{"GetAtt": format!("{id}.Arn")}, {"Sub": format!("${{{id}.Arn}}/*")}]);
            statement["Effect"] == "Deny"
                && statement["Principal"] == "*"
                && statement["Action"] == "s3:*"
                && statement["Resource"] == whole
                && statement["Condition"] == json!({"Bool": {"aws:SecureTransport": "false"}})
        };
        assert!(statements.as_array().unwrap().iter().any(refuses), "{id} takes requests in clear text");
    }
}

#[test]
fn the_lake_is_locked_logged_and_moves_as_its_parameters_say() {
    let template = template("template.yaml");
    let lake = &template["Resources"]["LakeBucket"]["Properties"];
    assert_eq!(lake["ObjectLockEnabled"], true);
    let lock = &lake["ObjectLockConfiguration"];
    assert_eq!(lock["ObjectLockEnabled"], "Enabled");
    assert_eq!(
        lock["Rule"]["DefaultRetention"],
        json!({"Mode": {"Ref": "LakeLockMode"}, "Days": {"Ref": "LakeLockDays"}})
    );
    assert_eq!(template["Parameters"]["LakeLockMode"]["Default"], "GOVERNANCE");
    assert_eq!(template["Parameters"]["LakeLockMode"]["AllowedValues"], json!(["GOVERNANCE", "COMPLIANCE"]));

    assert_eq!(lake["LoggingConfiguration"]["DestinationBucketName"], json!({"Ref": ACCESS_LOGS}));
    assert!(!template["Resources"][ACCESS_LOGS]["Properties"]["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"].is_null());

    let rules = lake["LifecycleConfiguration"]["Rules"].as_array().unwrap();
    let [condition, tier, _] = &rules[0]["If"].as_array().unwrap()[..] else { panic!("{}", rules[0]) };
    assert_eq!(condition, "HasLakeTier");
    let transition =
        json!([{"StorageClass": {"Ref": "LakeTier"}, "TransitionInDays": {"Ref": "LakeTierAfterDays"}}]);
    assert_eq!(tier["Transitions"], transition);
    // What expires is never the version that readers see.
    for rule in rules {
        assert!(rule["ExpirationInDays"].is_null() && rule["If"][1]["ExpirationInDays"].is_null(), "{rule}");
    }
}

#[test]
fn nobody_can_remove_a_version_and_only_the_compactor_can_hide_an_object() {
    for (id, role) in of_type("AWS::IAM::Role") {
        let policies = role["Properties"]["Policies"].to_string();
        for action in [
            "s3:DeleteObjectVersion",
            "s3:BypassGovernanceRetention",
            "s3:PutObjectRetention",
            "s3:PutObjectLegalHold",
        ] {
            assert!(!policies.contains(action), "{id} has {action}");
        }
        assert!(!policies.contains("s3:DeleteObject") || id == "LakeCompactorRole", "{id} can hide objects");
    }
}

#[test]
fn the_compactor_has_a_whole_block_and_may_do_what_it_does_and_no_more() {
    let template = template("template.yaml");
    let resources = &template["Resources"];
    for (part, kind) in [
        ("Role", "AWS::IAM::Role"),
        ("Function", "AWS::Serverless::Function"),
        ("Schedule", "AWS::Scheduler::Schedule"),
        ("ScheduleRole", "AWS::IAM::Role"),
        ("Logs", "AWS::Logs::LogGroup"),
        ("ErrorsAlarm", "AWS::CloudWatch::Alarm"),
        ("SilentAlarm", "AWS::CloudWatch::Alarm"),
    ] {
        assert_eq!(resources[format!("LakeCompactor{part}")]["Type"], kind, "{part}");
    }
    let role = &resources["LakeCompactorRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"];
    let of_s3: Vec<(Value, Value)> = role
        .as_array()
        .unwrap()
        .iter()
        .filter(|statement| statement["Action"].to_string().contains("s3:"))
        .map(|statement| (statement["Action"].clone(), statement["Resource"].clone()))
        .collect();
    let events = json!({"Sub": "${LakeBucket.Arn}/events/*"});
    let expected = [
        (json!("s3:ListBucket"), json!({"GetAtt": "LakeBucket.Arn"})),
        (json!(["s3:GetObject", "s3:PutObject"]), json!([events, {"Sub": "${LakeBucket.Arn}/compaction/*"}])),
        (json!("s3:DeleteObject"), events),
    ];
    assert_eq!(of_s3, expected);
    // S3 answers 403 for an object that is missing to whoever may list only some prefixes: a read names none.
    let list =
        role.as_array().unwrap().iter().find(|statement| statement["Action"] == "s3:ListBucket").unwrap();
    assert!(list["Condition"].is_null(), "{list}");
    // Whatever a run left undone, the next one does: nothing tries again, and someone is told.
    let target = &resources["LakeCompactorSchedule"]["Properties"]["Target"];
    assert_eq!(target["RetryPolicy"]["MaximumRetryAttempts"], 0);
    assert_eq!(resources["LakeCompactorAsync"]["Properties"]["MaximumRetryAttempts"], 0);
}

/// With less, the function does not start: functions/lake-compactor/src/config.rs.
#[test]
fn the_compactor_has_the_memory_for_the_objects_that_it_makes() {
    let template = template("template.yaml");
    let number = |parameter: &str, member: &str| template["Parameters"][parameter][member].as_u64().unwrap();
    let variables = &template["Resources"]["LakeCompactorFunction"]["Properties"]["Environment"]["Variables"];
    let merge: u64 = variables["MERGE_MEGABYTES_MAX"].as_str().unwrap().parse().unwrap();
    let needed = |object: u64| merge + 2 * object + 128;
    assert!(
        number("CompactorMemorySize", "Default") >= needed(number("CompactionObjectMegabytes", "Default"))
    );
    assert!(
        number("CompactorMemorySize", "MinValue") >= needed(64),
        "the least memory makes objects of 64 MB"
    );
    assert!(
        number("CompactorMemorySize", "MaxValue") >= needed(number("CompactionObjectMegabytes", "MaxValue"))
    );
    assert_eq!(variables["MEMORY_MEGABYTES"], json!({"Ref": "CompactorMemorySize"}));
    assert_eq!(variables["OBJECT_MEGABYTES_MAX"], json!({"Ref": "CompactionObjectMegabytes"}));
    let text = template["Parameters"]["CompactorMemorySize"]["Description"].as_str().unwrap();
    assert!(text.contains(&format!("{} plus twice", needed(0))), "{text}");
}

#[test]
fn folded_objects_stay_for_longer_than_a_query_runs() {
    let template = template("template.yaml");
    let grace = template["Parameters"]["CompactionGraceSeconds"]["Default"].as_i64().unwrap();
    assert!(grace > 30 * 60, "Athena ends a query after 30 minutes");
}

#[test]
fn the_compactor_looks_back_as_far_as_anything_is_filed() {
    let template = template("template.yaml");
    let lookback_days = template["Parameters"]["CompactionLookbackDays"]["Default"].as_i64().unwrap();
    let queue = &template["Resources"]["EventArchiverQueue"]["Properties"];
    let waits_ms = queue["MessageRetentionPeriod"].as_i64().unwrap() * 1_000;
    assert!(lookback_days * 86_400_000 >= lake::TimeBounds::BEFORE_MS_MAX + waits_ms);
    let days =
        &template["Resources"]["LakeTable"]["Properties"]["TableInput"]["Parameters"]["projection.dt.range"];
    assert_eq!(days, "2020-01-01,NOW+2DAYS");
    let latest_ms = lake::TimeBounds::BEHIND_MS_MAX;
    assert!(latest_ms <= 2 * 86_400_000, "what is filed ahead is in a partition");
}

#[test]
fn the_archiver_hears_everything_but_what_is_replayed() {
    let template = template("template.yaml");
    let pattern = &template["Resources"]["EventArchiverRule"]["Properties"]["EventPattern"];
    assert_eq!(*pattern, json!({"source": [{"prefix": ""}], "replay-name": [{"exists": false}]}));
}

/// EventBridge alone writes `replay-name` and `account`; `resources` are whatever a sender says.
#[test]
fn no_mark_of_another_account_keeps_an_event_out_of_the_archive() {
    let template = template("template.yaml");
    let pattern = &template["Resources"]["BusArchive"]["Properties"]["EventPattern"];
    let expected = json!({
        "$or": [
            {"account": [{"anything-but": [{"Ref": "AWS::AccountId"}]}]},
            {"resources": [{"exists": false}, {"anything-but": {"prefix": "orderbus:replay/"}}]},
        ],
    });
    assert_eq!(*pattern, expected);
}

#[test]
fn every_log_group_forgets_and_every_table_can_be_restored() {
    for (id, group) in of_type("AWS::Logs::LogGroup") {
        assert!(!group["Properties"]["RetentionInDays"].is_null(), "{id} keeps logs for ever");
    }
    for (id, table) in of_type("AWS::DynamoDB::Table") {
        let properties = &table["Properties"];
        assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST", "{id}");
        assert_eq!(
            properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true,
            "{id}"
        );
        assert!(!properties["DeletionProtectionEnabled"].is_null(), "{id}");
    }
}

#[test]
fn the_read_model_has_the_keys_that_its_adapter_uses_and_no_one_updates_a_fact() {
    let template = template("template.yaml");
    let table = &template["Resources"]["OrderFactsTable"]["Properties"];
    let keys = |schema: &Value| -> Vec<String> {
        let name = |key: &Value| key["AttributeName"].as_str().unwrap().to_owned();
        schema.as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(keys(&table["KeySchema"]), ["order_id", "fact"]);
    // A local index would limit how much an order holds.
    assert!(table["LocalSecondaryIndexes"].is_null());
    let [index] = &table["GlobalSecondaryIndexes"].as_array().unwrap()[..] else { panic!("one index") };
    assert_eq!(index["IndexName"], "by-time");
    assert_eq!(keys(&index["KeySchema"]), ["order_id", "by_time"]);
    assert_eq!(index["Projection"], json!({"ProjectionType": "ALL"}));

    let arn = || json!({"GetAtt": "OrderFactsTable.Arn"});
    let index = json!({"Sub": "${OrderFactsTable.Arn}/index/by-time"});
    let mut rights = BTreeMap::new();
    for (id, role) in of_type("AWS::IAM::Role") {
        for policy in role["Properties"]["Policies"].as_array().unwrap() {
            for statement in policy["PolicyDocument"]["Statement"].as_array().unwrap() {
                if statement["Resource"].to_string().contains("OrderFactsTable") {
                    let right = (statement["Action"].clone(), statement["Resource"].clone());
                    assert_eq!(rights.insert(id.clone(), right), None, "{id}");
                }
            }
        }
    }
    let expected = [
        ("LakeApiRole", (json!("dynamodb:Query"), arn())),
        ("OrderApiRole", (json!("dynamodb:Query"), json!([arn(), index]))),
        ("OrderTrackerRole", (json!("dynamodb:PutItem"), arn())),
    ];
    assert_eq!(rights, expected.map(|(id, right)| (id.to_owned(), right)).into());
}

#[test]
fn no_role_has_a_wildcard_where_aws_knows_resources() {
    /// Actions without resource-level permissions.
    const WITHOUT_RESOURCES: [&str; 12] = [
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "logs:CreateLogDelivery",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
    ];
    for (id, role) in of_type("AWS::IAM::Role") {
        for policy in role["Properties"]["Policies"].as_array().into_iter().flatten() {
            for statement in policy["PolicyDocument"]["Statement"].as_array().unwrap() {
                let actions = match &statement["Action"] {
                    Value::Array(actions) => actions.clone(),
                    action => vec![action.clone()],
                };
                assert!(
                    !actions.iter().any(|action| action.as_str().unwrap().contains('*')),
                    "{id}: {actions:?}"
                );
                let is_known = |action: &Value| WITHOUT_RESOURCES.contains(&action.as_str().unwrap());
                assert!(
                    statement["Resource"] != "*" || actions.iter().all(is_known),
                    "{id}: {actions:?} on *"
                );
            }
        }
    }
}

#[test]
fn every_report_is_a_named_query_to_the_letter() {
    let named: BTreeMap<String, Value> = of_type("AWS::Athena::NamedQuery")
        .into_iter()
        .map(|(_, query)| {
            (query["Properties"]["Name"].as_str().unwrap().to_owned(), query["Properties"].clone())
        })
        .collect();
    let files = fs::read_dir(root().join("functions/lake-api/queries")).unwrap();
    let files: BTreeSet<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(named.keys().map(|name| format!("{name}.sql")).collect::<BTreeSet<_>>(), files);
    for (name, query) in named {
        let statement = read(&format!("functions/lake-api/queries/{name}.sql"));
        assert_eq!(query["QueryString"], statement, "{name}");
        assert_eq!(query["WorkGroup"], json!({"Ref": "LakeWorkgroup"}), "{name}");
        // The table under the view has some events more than once.
        assert!(statement.contains("FROM events") && !statement.contains("stored_events"), "{name}");
    }
}

#[test]
fn the_view_has_the_columns_of_its_table_and_every_event_once() {
    let template = template("template.yaml");
    let input = |id: &str| template["Resources"][id]["Properties"]["TableInput"].clone();
    let (table, view) = (input("LakeTable"), input("LakeView"));
    let mut columns = table["StorageDescriptor"]["Columns"].as_array().unwrap().clone();
    columns.extend(table["PartitionKeys"].as_array().unwrap().clone());
    assert_eq!(view["StorageDescriptor"]["Columns"], json!(columns));
    // Athena takes a table without one for broken, a view too.
    assert!(view["StorageDescriptor"]["SerdeInfo"].is_object());
    let names: Vec<&str> = columns.iter().map(|column| column["Name"].as_str().unwrap()).collect();

    let definition = view["ViewOriginalText"]["Join"][1][1]["Fn::Base64"]["Sub"].as_str().unwrap();
    let definition: Value = serde_json::from_str(definition).unwrap();
    let sql = definition["originalSql"].as_str().unwrap();
    let expected = format!(
        "SELECT {} FROM (SELECT *, row_number() OVER (PARTITION BY dt, hour, origin, source, type, id ORDER BY ingested_at, bus_id) AS copy FROM stored_events) WHERE copy = 1",
        names.join(", ")
    );
    assert_eq!(sql, expected);
    let athena_type = |column: &Value| match column["Type"].as_str().unwrap() {
        "timestamp" => "timestamp(3)",
        _ => "varchar",
    };
    let typed: Vec<Value> =
        columns.iter().map(|column| json!({"name": column["Name"], "type": athena_type(column)})).collect();
    assert_eq!(definition["columns"], json!(typed));
}

#[test]
fn queries_read_and_write_where_they_may_and_no_further() {
    for (id, workgroup) in of_type("AWS::Athena::WorkGroup") {
        let settings = &workgroup["Properties"]["WorkGroupConfiguration"];
        assert_eq!(settings["EnforceWorkGroupConfiguration"], true, "{id}");
        assert_eq!(settings["BytesScannedCutoffPerQuery"], json!({"Ref": "LakeScannedBytesMax"}), "{id}");
        let encryption = &settings["ResultConfiguration"]["EncryptionConfiguration"];
        assert_eq!(
            *encryption,
            json!({"EncryptionOption": "SSE_KMS", "KmsKey": {"GetAtt": "Key.Arn"}}),
            "{id}"
        );
    }
    let template = template("template.yaml");
    let expiry =
        &template["Resources"]["LakeResultsBucket"]["Properties"]["LifecycleConfiguration"]["Rules"][0];
    assert_eq!(expiry["ExpirationInDays"], json!({"Ref": "LakeResultsRetentionDays"}));
    let role =
        &template["Resources"]["LakeApiRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"];
    let mut rights: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for statement in role.as_array().unwrap() {
        let actions = match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            action => vec![action.clone()],
        };
        for action in actions {
            let resources = rights.entry(action.as_str().unwrap().to_owned()).or_default();
            resources.push(statement["Resource"].to_string());
        }
    }
    let only = |action: &str, resource: &str| {
        assert!(rights[action].iter().all(|one| one.contains(resource)), "{action}: {:?}", rights[action]);
    };
    only("athena:StartQueryExecution", "${LakeApiWorkgroup}");
    only("s3:PutObject", "${LakeResultsBucket.Arn}/lake-api/*");
    only("glue:GetTable", "${LakeDatabase}");
    // Without it Athena refuses every query
    // (https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html).
    assert!(rights["glue:GetDatabase"].iter().any(|one| one.contains(":database/default")));
    assert_eq!(rights["s3:GetObject"].len(), 2, "the events, and its own results");
    let writes = ["Put", "Delete", "Create", "Update"];
    let writing: Vec<&String> = rights
        .keys()
        .filter(|action| writes.iter().any(|verb| action.contains(&format!(":{verb}"))))
        .collect();
    assert_eq!(
        writing,
        [
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "s3:PutObject",
            "xray:PutTelemetryRecords",
            "xray:PutTraceSegments"
        ]
    );
}

#[test]
fn nobody_gets_quicksight_who_did_not_ask_and_nobody_gets_personal_data_there() {
    let template = template("template.yaml");
    assert_eq!(template["Parameters"]["QuickSightPrincipalArn"]["Default"], "");
    for id in ["QuickSightDataSource", "QuickSightDataSet"] {
        assert_eq!(template["Resources"][id]["Condition"], "HasQuickSight", "{id}");
    }
    let table = &template["Resources"]["QuickSightDataSet"]["Properties"]["PhysicalTableMap"]["events"];
    let columns = table["RelationalTable"]["InputColumns"].as_array().unwrap();
    assert!(
        columns.len() > 5
            && !columns.iter().any(|column| column["Name"] == "data" || column["Name"] == "extensions")
    );
}

/// The credentials of a role publish what its function publishes, and nothing else.
#[test]
fn every_role_publishes_its_own_types_and_no_other() {
    let mut roles = BTreeMap::new();
    for path in ["template.yaml", "examples/payment-provider/template.yaml"] {
        for (id, resource) in template(path)["Resources"].as_object().unwrap() {
            for statement in statements(resource) {
                if statement["Action"] == "events:PutEvents" {
                    let condition = &statement["Condition"]["ForAllValues:StringEquals"];
                    let allowed = texts(&condition["events:detail-type"]);
                    let sources: BTreeSet<String> =
                        allowed.iter().map(|name| name.split('.').next().unwrap().to_owned()).collect();
                    assert_eq!(texts(&condition["events:source"]), sources, "{id}");
                    for key in ["events:source", "events:detail-type"] {
                        assert_eq!(statement["Condition"]["Null"][key], "false", "{id}: {key}");
                    }
                    assert!(roles.insert(id.clone(), allowed).is_none(), "{id} has one statement");
                }
            }
        }
    }
    for name in functions() {
        let documented = emits(&format!("functions/{name}/src/lib.rs"));
        let allowed = roles.remove(&format!("{}Role", logical_id(&name))).unwrap_or_default();
        let expected = match name.as_str() {
            // What the bus could not handle goes back to it, of every type.
            "dlq-reprocessor" => EventType::ALL.iter().map(|known| known.as_str().to_owned()).collect(),
            _ => documented,
        };
        assert_eq!(allowed, expected, "{name}");
    }
    assert_eq!(roles.remove("CheckoutRole").unwrap(), published_by_checkout());
    assert_eq!(roles.remove("Role").unwrap(), emits("examples/payment-provider/src/lib.rs"));
    let partners: Vec<_> = roles.into_keys().collect();
    assert_eq!(partners, ["CarriersPublishPolicy", "PaymentProvidersPublishPolicy"]);
}

fn statements(resource: &Value) -> Vec<&Value> {
    let properties = &resource["Properties"];
    let policies = properties["Policies"].as_array().into_iter().flatten();
    let of_roles = policies.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array()).flatten();
    of_roles.chain(Some(&properties["Statement"])).collect()
}

/// One text, or several.
fn texts(value: &Value) -> BTreeSet<String> {
    let several = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    several.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The types in the line of a function's documentation that says what it emits.
fn emits(path: &str) -> BTreeSet<String> {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with("//! | Emits |")).unwrap();
    line.split('`').filter(|word| EventType::parse(word).is_some()).map(str::to_owned).collect()
}

fn published_by_checkout() -> BTreeSet<String> {
    let machine = read("statemachines/checkout.asl.json");
    let types = machine.lines().filter_map(|line| line.trim().strip_prefix("\"DetailType\": \""));
    types.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn nobody_publishes_through_the_gateway_whom_nobody_named_or_without_a_signature() {
    let template = template("template.yaml");
    let resources = &template["Resources"];
    assert_eq!(template["Parameters"]["GatewayProducers"]["Default"], "");
    let variables = &resources["EventGatewayFunction"]["Properties"]["Environment"]["Variables"];
    assert_eq!(variables["PRODUCERS"], json!({"Join": [",", {"Ref": "GatewayProducers"}]}));

    // Every route to the function is signed, whatever the parameter says.
    let target = json!({"Sub": "integrations/${EventGatewayIntegration}"});
    let mut routes = Vec::new();
    for (id, route) in of_type("AWS::ApiGatewayV2::Route") {
        let properties = &route["Properties"];
        if properties["Target"] == target {
            routes.push(properties["RouteKey"].as_str().unwrap().to_owned());
            assert_eq!(properties["AuthorizationType"], "AWS_IAM", "{id}");
        }
    }
    assert_eq!(routes, ["POST /events"]);
    let integration = &resources["EventGatewayIntegration"]["Properties"]["IntegrationUri"];
    assert_eq!(*integration, json!({"GetAtt": "EventGatewayFunction.Arn"}));
}

/// Where callers sign, a key is theirs; where nobody does, the tests and tools know whose it is.
#[test]
fn an_idempotency_key_is_everyones_only_where_the_api_is_open() {
    let template = template("template.yaml");
    assert_eq!(template["Parameters"]["OpenScope"]["Default"], contracts::OPEN_SCOPE);
    assert_eq!(template["Conditions"]["ApiIsOpen"], json!({"Equals": [{"Ref": "ApiAuthorization"}, "NONE"]}));
    let variables = &template["Resources"]["OrderApiFunction"]["Properties"]["Environment"]["Variables"];
    assert_eq!(variables["OPEN_SCOPE"], json!({"If": ["ApiIsOpen", {"Ref": "OpenScope"}, ""]}));
}

/// An id that is forgotten can be used for another event.
#[test]
fn the_ledger_of_events_forgets_nothing() {
    let template = template("template.yaml");
    let table = &template["Resources"]["EventLedgerTable"]["Properties"];
    assert!(table["TimeToLiveSpecification"].is_null(), "{table}");
}

/// What `dlq-reprocessor` is told of the consumers: by name, the two queues, the capacity, and what it takes.
fn reprocessed() -> BTreeMap<String, [String; 5]> {
    let template = template("template.yaml");
    let variables =
        &template["Resources"]["DlqReprocessorFunction"]["Properties"]["Environment"]["Variables"];
    let lines = variables["CONSUMERS"]["Sub"][0].as_str().unwrap().split(';');
    let read = |line: &str| {
        let parts: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let [name, rest @ ..] = &parts[..] else { panic!("an empty line") };
        (name.clone(), rest.to_vec().try_into().unwrap())
    };
    lines.map(read).collect()
}

#[test]
fn every_consumer_s_dead_letters_are_looked_after() {
    let template = template("template.yaml");
    let resources = &template["Resources"];
    let reprocessed = reprocessed();
    assert_eq!(reprocessed.keys().cloned().collect::<Vec<_>>(), consumers());
    for (name, [queue, dead_letters, concurrency, batch_size, takes]) in &reprocessed {
        let id = logical_id(name);
        assert_eq!(*queue, format!("${{{id}Queue.QueueName}}"));
        assert_eq!(*dead_letters, format!("${{{id}DeadLetterQueue.QueueName}}"));
        let mapping = &resources[format!("{id}Function")]["Properties"]["Events"]["Queue"]["Properties"];
        let text = |value: &Value| match value {
            Value::Object(reference) => format!("${{{}}}", reference["Ref"].as_str().unwrap()),
            number => number.to_string(),
        };
        assert_eq!(*batch_size, text(&mapping["BatchSize"]), "{name}: the batch size");
        let variables =
            &resources["DlqReprocessorFunction"]["Properties"]["Environment"]["Variables"]["CONSUMERS"];
        let told = &variables["Sub"][1][concurrency.trim_start_matches("${").trim_end_matches('}')];
        assert_eq!(*told, mapping["ScalingConfig"]["MaximumConcurrency"], "{name}: the concurrency");
        assert_eq!(takes == "anything", name == "event-archiver", "{name}: what it takes");
    }
}

#[test]
fn every_dead_letter_queue_is_read_and_every_source_written_by_the_reprocessor() {
    let role = of_type("AWS::IAM::Role").into_iter().find(|(id, _)| id == "DlqReprocessorRole").unwrap().1;
    let statements = role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"].as_array().unwrap();
    let queues_of = |sid: &str| -> BTreeSet<String> {
        let statement = statements.iter().find(|statement| statement["Sid"] == sid).unwrap();
        let resources = statement["Resource"].as_array().unwrap().iter();
        resources
            .map(|resource| resource["GetAtt"].as_str().unwrap().trim_end_matches(".Arn").to_owned())
            .collect()
    };
    let mut dead_letters =
        BTreeSet::from(["BusDeadLetterQueue", "UndeliveredQueue", "QuarantineQueue"].map(str::to_owned));
    let mut sources = BTreeSet::new();
    for (id, queue) in of_type("AWS::SQS::Queue") {
        if let Some(arn) = queue["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["GetAtt"].as_str() {
            dead_letters.insert(arn.trim_end_matches(".Arn").to_owned());
            sources.insert(id);
        }
    }
    assert_eq!(queues_of("TakeDeadLetters"), dead_letters);
    assert_eq!(queues_of("SendThemBack"), sources);
    let all: BTreeSet<String> = of_type("AWS::SQS::Queue").into_iter().map(|(id, _)| id).collect();
    assert_eq!(all, dead_letters.union(&sources).cloned().collect(), "a queue that nobody looks after");
    // Every target of a rule leaves what it cannot be given in the one queue that is read for all of them.
    for (id, rule) in of_type("AWS::Events::Rule") {
        for target in rule["Properties"]["Targets"].as_array().unwrap() {
            assert_eq!(target["DeadLetterConfig"]["Arn"], json!({"GetAtt": "UndeliveredQueue.Arn"}), "{id}");
        }
    }
}

/// A message that waits is hidden, and still is a dead letter.
#[test]
fn every_queue_of_dead_letters_has_an_alarm_that_stays_on_until_it_is_empty() {
    let reprocessed: BTreeSet<String> = of_type("AWS::SQS::Queue")
        .into_iter()
        .filter(|(_, queue)| queue["Properties"]["RedrivePolicy"].is_null())
        .map(|(id, _)| id)
        .collect();
    let mut watched = BTreeSet::new();
    for (id, alarm) in of_type("AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        if properties["Namespace"] == "AWS/SQS" {
            let metric = &properties["MetricName"];
            assert_eq!(metric, "ApproximateAgeOfOldestMessage", "{id} watches one metric of a queue alone");
        }
        let Some(metrics) = properties["Metrics"].as_array() else { continue };
        let metric = |name: &str| metrics.iter().find(|metric| metric["Id"] == name).unwrap();
        assert_eq!(metric("messages")["Expression"], "visible + hidden", "{id}");
        assert!(metric("messages")["ReturnData"].is_null(), "{id}: what is compared");
        let mut queues = BTreeSet::new();
        for (name, of_queue) in [
            ("visible", "ApproximateNumberOfMessagesVisible"),
            ("hidden", "ApproximateNumberOfMessagesNotVisible"),
        ] {
            assert_eq!(metric(name)["ReturnData"], false, "{id}");
            let stat = &metric(name)["MetricStat"];
            assert_eq!((&stat["Stat"], &stat["Period"]), (&json!("Maximum"), &json!(60)), "{id}");
            let metric = &stat["Metric"];
            assert_eq!(
                (&metric["Namespace"], &metric["MetricName"]),
                (&json!("AWS/SQS"), &json!(of_queue)),
                "{id}"
            );
            assert_eq!(metric["Dimensions"][0]["Name"], "QueueName", "{id}");
            let queue = metric["Dimensions"][0]["Value"]["GetAtt"].as_str().unwrap();
            queues.insert(queue.trim_end_matches(".QueueName").to_owned());
        }
        assert_eq!(queues.len(), 1, "{id} counts in one queue");
        let queue = queues.pop_first().unwrap();
        assert_eq!(id, format!("{}Alarm", queue.trim_end_matches("Queue")), "{id} watches {queue}");
        assert_eq!(
            (&properties["ComparisonOperator"], &properties["Threshold"], &properties["AlarmActions"]),
            (&json!("GreaterThanThreshold"), &json!(0), &json!([{"Ref": "AlarmTopic"}])),
            "{id}"
        );
        watched.insert(queue);
    }
    assert_eq!(watched, reprocessed);
}

#[test]
fn the_reprocessor_takes_everyone_s_events_back_to_the_bus() {
    let role = of_type("AWS::IAM::Role").into_iter().find(|(id, _)| id == "DlqReprocessorRole").unwrap().1;
    let statements = role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"].as_array().unwrap();
    let put = statements.iter().find(|statement| statement["Action"] == "events:PutEvents").unwrap();
    let sources: BTreeSet<&str> = put["Condition"]["ForAllValues:StringEquals"]["events:source"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let expected: BTreeSet<&str> = EventType::ALL.iter().map(|event_type| event_type.source()).collect();
    assert_eq!(sources, expected);
}

#[test]
fn only_the_routes_of_orders_may_be_open() {
    for (id, route) in of_type("AWS::ApiGatewayV2::Route") {
        let properties = &route["Properties"];
        let key = properties["RouteKey"].as_str().unwrap();
        let expected =
            if key.contains(" /orders") { json!({"Ref": "ApiAuthorization"}) } else { json!("AWS_IAM") };
        assert_eq!(properties["AuthorizationType"], expected, "{id}");
    }
}

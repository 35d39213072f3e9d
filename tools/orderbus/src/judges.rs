//! What judges the templates without deploying them: cfn-lint, its data on every region, two validators of state machines, and
//! checkov.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::tools::{Tools, install_once};
use crate::{Progress, processes, repository, state_machines};

/// What is judged.
const TEMPLATES: [&str; 3] =
    ["template.yaml", "examples/payment-provider/template.yaml", "examples/loyalty-points/template.yaml"];
/// The nested stack of the schema registry.
const SCHEMAS: &str = "events/schemas.template.json";
/// Which findings of checkov stand, and why.
const SKIPS: &str = "tools/checkov-skips.toml";
const REQUIREMENTS: &str = "tools/requirements-checkov.txt";

const REGIONS_LACKING: &str = include_str!("regions_lacking.py");

/// The regions that cfn-lint lints for each time: the first of all, two that lack something optional, and one of another
/// partition. What a region lacks is known of every region without that.
const REGIONS: [&str; 4] = ["us-east-1", "us-west-1", "ap-south-2", "cn-north-1"];

/// Lets all of them judge. cfn-lint takes minutes for `every_region`, and less than one for a few.
///
/// # Errors
/// With what they found, or when they cannot be installed.
pub fn judge(every_region: bool, tools: &Tools, logs: &Path, progress: &Progress) -> Result<()> {
    lint(if every_region { &["ALL_REGIONS"] } else { &REGIONS }, tools, logs, progress)?;
    compare_regions(tools, progress)?;
    state_machines::judge(progress)?;
    let findings = checkov(tools, progress)?;
    let skips = skips()?;
    let standing = findings.len();
    weigh(&findings, &skips)?;
    progress.say(format_args!(
        "checkov: nothing unexplained; {standing} findings of {} checks stand, {SKIPS} says why",
        skips.len()
    ));
    Ok(())
}

fn lint(regions: &[&str], tools: &Tools, logs: &Path, progress: &Progress) -> Result<()> {
    let mut lint = tools.command("cfn-lint");
    lint.arg("--regions").args(regions).arg("--template").args(TEMPLATES);
    lint.current_dir(repository::root());
    processes::run(&mut lint, &logs.join("cfn-lint.log"), progress, |_| None)
        .context("cfn-lint has findings")?;
    progress.say(format_args!("cfn-lint: nothing found in {}", regions.join(", ")));
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Regions {
    regions: usize,
    lacking: BTreeMap<String, BTreeSet<String>>,
}

/// The template's rules refuse the regions that lack what is optional; nothing else may be missing where it is deployed.
fn compare_regions(tools: &Tools, progress: &Progress) -> Result<()> {
    let mut python = tools.command("python");
    python.args(["-c", REGIONS_LACKING, "template.yaml", SCHEMAS]).current_dir(repository::root());
    let output = python.stdin(Stdio::null()).output().context("cannot start Python")?;
    ensure!(output.status.success(), "cfn-lint's data: {}", String::from_utf8_lossy(&output.stderr));
    let known: Regions = serde_json::from_slice(&output.stdout).context("cfn-lint's data on regions")?;
    let template = catalogue::template::read(&repository::root(), "template.yaml")?;
    hold_together(&template, &known.lacking)?;
    progress.say(format_args!(
        "regions: {} looked at, the template's rules name those that lack a type",
        known.regions
    ));
    Ok(())
}

fn hold_together(template: &Value, lacking: &BTreeMap<String, BTreeSet<String>>) -> Result<()> {
    const RULES: [(&str, &str); 2] = [
        ("AWS::EventSchemas::", "SchemaRegistryIsInThisRegion"),
        ("AWS::QuickSight::", "QuickSightIsInThisRegion"),
    ];
    for (prefix, rule) in RULES {
        let refused = &template["Rules"][rule]["Assertions"][0]["Assert"]["Not"][0]["Fn::Contains"][0];
        let refused: BTreeSet<String> =
            refused.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let missing = lacking.iter().filter(|(name, _)| name.starts_with(prefix));
        let missing: BTreeSet<String> = missing
            .flat_map(|(_, regions)| regions)
            .filter(|region| is_deployed_to(region))
            .cloned()
            .collect();
        ensure!(
            refused == missing,
            "{rule} of template.yaml refuses {refused:?}, and by cfn-lint's data these lack it: {missing:?}"
        );
    }
    for (name, regions) in lacking {
        let is_optional = RULES.iter().any(|(prefix, _)| name.starts_with(prefix));
        let regions: Vec<_> = regions.iter().filter(|region| is_deployed_to(region)).collect();
        ensure!(is_optional || regions.is_empty(), "{name} is missing in {regions:?}, and no rule says so");
    }
    Ok(())
}

/// The rule on partitions refuses all others.
fn is_deployed_to(region: &str) -> bool {
    !["cn-", "us-gov-", "us-iso", "eu-iso", "eusc-"].iter().any(|other| region.starts_with(other))
}

/// One check that failed: its id, and the template, type and logical id.
type Finding = (String, String);

fn checkov(tools: &Tools, progress: &Progress) -> Result<BTreeSet<Finding>> {
    let packages = repository::tools().join("checkov");
    let requirements = repository::root().join(REQUIREMENTS);
    let wanted = fs::read_to_string(&requirements).with_context(|| format!("cannot read {REQUIREMENTS}"))?;
    let stamp = packages.with_extension("installed");
    install_once(&packages.with_extension("lock"), &stamp, &wanted, || {
        progress.say("checkov: installing it into .tools (300 MB, about a minute)");
        if packages.exists() {
            fs::remove_dir_all(&packages).context("cannot remove the old .tools/checkov")?;
        }
        tools.install_into(&packages, &requirements, &packages.with_extension("log"), progress)
    })?;
    let mut checkov = tools.command("python");
    checkov.args(["-m", "checkov.main", "--framework", "cloudformation", "--quiet", "--compact"]);
    checkov.args(["--skip-download", "--soft-fail", "--output", "json"]);
    checkov.args(TEMPLATES.iter().flat_map(|template| ["--file", *template]));
    checkov.env("PYTHONPATH", &packages).current_dir(repository::root()).stdin(Stdio::null());
    let output = checkov.output().context("cannot start checkov")?;
    ensure!(output.status.success(), "checkov: {}", String::from_utf8_lossy(&output.stderr));
    findings(&serde_json::from_slice(&output.stdout).context("what checkov prints")?)
}

fn findings(report: &Value) -> Result<BTreeSet<Finding>> {
    let summary = &report["summary"];
    ensure!(summary["parsing_errors"] == 0, "checkov cannot read a template: {summary}");
    // A judge that looked at nothing finds nothing.
    ensure!(
        summary["passed"].as_u64().is_some_and(|passed| passed > 0),
        "checkov checked nothing: {summary}"
    );
    // What a comment in a template skips would be reasoned nowhere.
    ensure!(summary["skipped"] == 0, "checks are skipped elsewhere than in {SKIPS}: {summary}");
    let failed = report["results"]["failed_checks"].as_array().context("checkov names no failed checks")?;
    let read = |finding: &Value| {
        let text = |name: &str| finding[name].as_str().with_context(|| format!("checkov names no {name}"));
        let file = text("file_path")?.trim_start_matches('/').to_owned();
        Ok((text("check_id")?.to_owned(), format!("{file} {}", text("resource")?)))
    };
    failed.iter().map(read).collect()
}

/// A check that is not kept somewhere.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Skip {
    /// What it asks for, in checkov's words.
    check: String,
    /// Why that is not done.
    reason: String,
    /// Where: a template and a type, or a template, a type and a logical id.
    resources: Vec<String>,
}

fn skips() -> Result<BTreeMap<String, Skip>> {
    let text =
        fs::read_to_string(repository::root().join(SKIPS)).with_context(|| format!("cannot read {SKIPS}"))?;
    toml::from_str(&text).context(SKIPS)
}

/// Every finding has a reason, and every reason a finding.
fn weigh(findings: &BTreeSet<Finding>, skips: &BTreeMap<String, Skip>) -> Result<()> {
    let covers = |entry: &String, resource: &String| {
        resource.strip_prefix(entry.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut problems = Vec::new();
    for (check, resource) in findings {
        let skip = skips.get(check);
        if !skip.is_some_and(|skip| skip.resources.iter().any(|entry| covers(entry, resource))) {
            problems.push(format!("{check} on {resource} is neither kept nor reasoned"));
        }
    }
    for (check, skip) in skips {
        if skip.reason.trim().is_empty() || skip.check.trim().is_empty() {
            problems.push(format!("{check} has no reason"));
        }
        for entry in &skip.resources {
            if !findings.iter().any(|(found, resource)| found == check && covers(entry, resource)) {
                problems.push(format!("{check} on {entry} is not found any more: remove it"));
            }
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!("checkov and {SKIPS}:\n  {}", problems.join("\n  "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(check: &str, resource: &str) -> BTreeSet<Finding> {
        [(check.to_owned(), resource.to_owned())].into()
    }

    fn skip(check: &str, reason: &str, resources: &[&str]) -> BTreeMap<String, Skip> {
        let resources = resources.iter().map(|resource| (*resource).to_owned()).collect();
        let skip = Skip { check: "Ensure".to_owned(), reason: reason.to_owned(), resources };
        [(check.to_owned(), skip)].into()
    }

    #[test]
    fn a_finding_without_a_reason_fails_and_so_does_a_reason_without_a_finding() {
        let topic = found("CKV_1", "template.yaml AWS::SNS::Topic.AlarmTopic");
        assert!(weigh(&topic, &skip("CKV_1", "why", &["template.yaml AWS::SNS::Topic"])).is_ok());
        assert!(weigh(&topic, &skip("CKV_1", "why", &["template.yaml AWS::SNS::Topic.AlarmTopic"])).is_ok());
        assert!(weigh(&topic, &BTreeMap::new()).is_err());
        assert!(weigh(&topic, &skip("CKV_2", "why", &["template.yaml AWS::SNS::Topic"])).is_err());
        assert!(weigh(&topic, &skip("CKV_1", " ", &["template.yaml AWS::SNS::Topic"])).is_err());
        assert!(weigh(&topic, &skip("CKV_1", "why", &["template.yaml AWS::SNS::Topic.Alarm"])).is_err());
        assert!(weigh(&topic, &skip("CKV_1", "why", &["examples/x/template.yaml AWS::SNS::Topic"])).is_err());
        assert!(weigh(&BTreeSet::new(), &skip("CKV_1", "why", &["template.yaml AWS::SNS::Topic"])).is_err());
    }

    #[test]
    fn a_report_is_read_unless_it_is_of_nothing_or_hides_something() {
        let report = |passed: u32, skipped: u32, errors: u32| {
            let failed = json!([{"check_id": "CKV_1", "file_path": "/template.yaml", "resource": "A::B.C"}]);
            json!({
                "summary": {"passed": passed, "skipped": skipped, "parsing_errors": errors},
                "results": {"failed_checks": failed},
            })
        };
        assert_eq!(findings(&report(1, 0, 0)).unwrap(), found("CKV_1", "template.yaml A::B.C"));
        for (passed, skipped, errors) in [(0, 0, 0), (1, 1, 0), (1, 0, 1)] {
            assert!(findings(&report(passed, skipped, errors)).is_err());
        }
    }

    #[test]
    fn a_region_that_lacks_something_is_refused_by_a_rule_and_no_other_is() {
        let template = catalogue::template::read(&repository::root(), "template.yaml").unwrap();
        let listed = |rule: &str| -> BTreeSet<String> {
            let regions = &template["Rules"][rule]["Assertions"][0]["Assert"]["Not"][0]["Fn::Contains"][0];
            serde_json::from_value(regions.clone()).unwrap()
        };
        let lacking: BTreeMap<String, BTreeSet<String>> = [
            ("AWS::EventSchemas::Schema".to_owned(), listed("SchemaRegistryIsInThisRegion")),
            ("AWS::QuickSight::DataSet".to_owned(), listed("QuickSightIsInThisRegion")),
            ("AWS::Scheduler::Schedule".to_owned(), ["cn-north-1".to_owned()].into()),
        ]
        .into();
        hold_together(&template, &lacking).unwrap();
        let changes: [(&str, &str, bool); 3] = [
            ("AWS::EventSchemas::Schema", "eu-west-1", true),
            ("AWS::QuickSight::DataSet", "us-west-1", false),
            ("AWS::Scheduler::Schedule", "mx-central-1", true),
        ];
        for (name, region, is_added) in changes {
            let mut changed = lacking.clone();
            let regions = changed.get_mut(name).unwrap();
            if is_added {
                regions.insert(region.to_owned())
            } else {
                regions.remove(region)
            };
            assert!(hold_together(&template, &changed).is_err(), "{name} in {region}");
        }
    }
}

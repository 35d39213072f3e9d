use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

fn judge() -> Judge {
    Judge::ready(&repository::root(), &Progress::new(|_| ())).unwrap()
}

/// What is found when one package is another than it is.
fn found(judge: &Judge, metadata: &Value, package: &str, field: &str, value: &str) -> Verdict {
    let mut changed = metadata.clone();
    let packages = changed["packages"].as_array_mut().unwrap();
    packages.iter_mut().find(|one| one["name"] == package).unwrap()[field] = json!(value);
    judge.judge(changed.to_string().as_bytes()).unwrap()
}

#[test]
fn a_vulnerable_version_a_forbidden_licence_a_second_version_and_another_source_are_found() {
    let judge = judge();
    let metadata = metadata(&judge.root).unwrap();
    let verdict = judge.judge(&metadata).unwrap();
    assert!(verdict.errors.is_empty() && verdict.crates > 200, "{verdict:?}");

    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    let cases = [
        ("version", "1.6.0", "vulnerability smallvec 1.6.0: "),
        ("license", "AGPL-3.0-only", "rejected smallvec "),
        ("license", "MIT AND GPL-3.0-or-later", "rejected smallvec "),
        (
            "source",
            "git+https://example.com/smallvec#0123456789012345678901234567890123456789",
            "source-not-allowed smallvec ",
        ),
        ("source", "registry+https://example.com/index", "source-not-allowed smallvec "),
    ];
    for (field, value, says) in cases {
        let errors = found(&judge, &metadata, "smallvec", field, value).errors;
        assert!(errors.len() == 1 && errors[0].starts_with(says), "{field} {value}: {errors:?}");
        assert_eq!(
            errors[0].ends_with("https://rustsec.org/advisories/RUSTSEC-2021-0003"),
            field == "version"
        );
    }
    // The first of two that deny.toml knows of.
    let errors = found(&judge, &metadata, "base64", "version", "0.24.0").errors;
    let is_named = |code: &str| errors.iter().any(|error| error.starts_with(code));
    assert!(errors.len() == 2 && is_named("duplicate") && is_named("unmatched-skip"), "{errors:?}");
}

#[test]
fn a_judge_that_did_not_look_is_not_believed() {
    let summary = |errors: u64, crates: u64| {
        let counts =
            |errors: u64, helps: u64| json!({"errors": errors, "helps": helps, "notes": 0, "warnings": 0});
        let fields = json!({
            "advisories": counts(errors, 0), "bans": counts(0, 0), "licenses": counts(0, crates), "sources": counts(0, 0),
        });
        json!({"type": "summary", "fields": fields}).to_string()
    };
    let error =
        json!({"type": "diagnostic", "fields": {"severity": "error", "code": "yanked", "message": "no"}});
    let found = format!("{error}\n{}", summary(1, 9));

    assert_eq!(Verdict::read(&summary(0, 9), true).unwrap().crates, 9);
    assert_eq!(Verdict::read(&found, false).unwrap().errors, ["yanked: no"]);
    let log = json!({"type": "log", "fields": {"level": "ERROR", "message": "no database"}}).to_string();
    assert!(Verdict::read(&log, false).unwrap_err().to_string().contains("no database"));
    let contradictions: [(&str, bool); 8] = [
        ("", true),
        (&summary(0, 0), true),
        (&summary(0, 9).replace("advisories", "others"), true),
        (&summary(0, 9), false),
        (&summary(1, 9), true),
        (&summary(1, 9), false),
        (&found, true),
        ("thread 'main' panicked", true),
    ];
    for (lines, ended_well) in contradictions {
        assert!(Verdict::read(lines, ended_well).is_err(), "{lines} {ended_well}");
    }
}

#[test]
fn the_pack_in_the_repository_is_the_pinned_commit() {
    let (root, folder) = (repository::root(), tempfile::tempdir().unwrap());
    let (pin, database) = (Pin::read(&root).unwrap(), folder.path().join("database"));
    unpack(&root.join(PACK), &pin, &database).unwrap();
    verify(&database, &pin).unwrap();
}

/// A database with one advisory, and a repository that pins another one.
fn database() -> (TempDir, Pin) {
    let folder = tempfile::tempdir().unwrap();
    let upstream = folder.path().join("upstream");
    let advisory = upstream.join("crates/made-up");
    fs::create_dir_all(&advisory).unwrap();
    fs::create_dir_all(folder.path().join("tools")).unwrap();
    fs::write(advisory.join("RUSTSEC-2026-9999.md"), "made up\n".repeat(99)).unwrap();
    output(git(&upstream).args(["init", "--quiet"])).unwrap();
    output(git(&upstream).args(["add", "--all"])).unwrap();
    let author = ["-c", "user.name=test", "-c", "user.email=", "-c", "commit.gpgsign=false"];
    output(git(&upstream).args(author).args(["commit", "--quiet", "--message", "all"])).unwrap();

    fs::copy(repository::root().join(PIN), folder.path().join(PIN)).unwrap();
    let work = folder.path().join("work");
    let pin = renew(folder.path(), Some(&upstream.to_string_lossy()), &work).unwrap();
    (folder, pin)
}

#[test]
fn what_is_renewed_is_the_newest_commit() {
    let (folder, pin) = database();
    let before = fs::read_to_string(repository::root().join(PIN)).unwrap();
    let after = fs::read_to_string(folder.path().join(PIN)).unwrap();
    assert_eq!(after.lines().count(), before.lines().count());
    assert!(after.contains(&format!("commit = \"{}\"", pin.commit)) && after != before, "{after}");

    let unpacked = folder.path().join("unpacked");
    unpack(&folder.path().join(PACK), &Pin::read(folder.path()).unwrap(), &unpacked).unwrap();
    assert!(verify(&unpacked, &pin).unwrap() > 0);
    assert!(unpacked.join("crates/made-up/RUSTSEC-2026-9999.md").is_file());
}

#[test]
fn a_database_that_is_not_the_pinned_commit_is_refused() {
    let (folder, pin) = database();
    let (pack, unpacked) = (folder.path().join(PACK), folder.path().join("unpacked"));
    let other = Pin { commit: "bf5c0d245a92671908518d7e765914d437954ed6".to_owned(), ..pin.clone() };
    assert!(unpack(&pack, &other, &unpacked).is_err());

    let whole = fs::read(&pack).unwrap();
    for changed in (0..whole.len()).step_by(16) {
        let mut bytes = whole.clone();
        bytes[changed] ^= 1;
        fs::write(&pack, bytes).unwrap();
        assert!(unpack(&pack, &pin, &unpacked).is_err(), "byte {changed}");
    }

    fs::write(&pack, whole).unwrap();
    unpack(&pack, &pin, &unpacked).unwrap();
    verify(&unpacked, &pin).unwrap();
    assert!(verify(&unpacked, &Pin { date: "2026-01-01".to_owned(), ..pin.clone() }).is_err());
    let advisory = unpacked.join("crates/made-up/RUSTSEC-2026-9999.md");
    fs::remove_file(advisory).unwrap();
    assert!(verify(&unpacked, &pin).is_err());
}

//! Built programs, before they are deployed: whether each of them can start where it is going to run.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::sam::{APPLICATIONS, Application};

/// The C library of Amazon Linux 2023, on which functions of the runtime `provided.al2023` run
/// (<https://docs.aws.amazon.com/linux/al2023/ug/core-glibc.html>).
const LAMBDA_GLIBC: Version = Version(2, 34);

/// A version of the C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

/// What a program needs in order to start.
#[derive(Debug, PartialEq, Eq)]
struct Needs {
    /// As template.yaml names processors.
    architecture: &'static str,
    glibc: Option<Version>,
}

/// Checks what `sam build` built for a section of samconfig.toml. Returns what it found, a line a program.
///
/// # Errors
/// When nothing is built, or with each program that would not start and why.
pub fn check(section: &str) -> Result<Vec<String>> {
    let (mut fit, mut unfit) = (Vec::new(), Vec::new());
    for application in APPLICATIONS {
        let architecture = application.parameter(section, "Architecture")?;
        let architecture = architecture.as_deref().unwrap_or("arm64");
        for (function, program) in built(application)? {
            let bytes = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
            let needs = needs(&bytes)
                .with_context(|| format!("{} is no Linux program of 64 bits", program.display()))?;
            match problem(&needs, architecture) {
                None => fit.push(format!("{}/{function}: starts on {architecture}", application.name())),
                Some(problem) => unfit.push(format!("{}/{function} {problem}", application.name())),
            }
        }
    }
    if !unfit.is_empty() {
        bail!(
            "{} of {} programs would not start on Lambda:\n  {}",
            unfit.len(),
            unfit.len() + fit.len(),
            unfit.join("\n  ")
        );
    }
    ensure!(!fit.is_empty(), "no program is built. Build them first: sam build");
    Ok(fit)
}

/// The functions of an application that are built, with their programs.
fn built(application: Application) -> Result<Vec<(String, PathBuf)>> {
    let folder = application.folder().join(".aws-sam/build");
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    let read = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(&folder).with_context(read)? {
        let entry = entry.with_context(read)?;
        let program = entry.path().join("bootstrap");
        if program.is_file() {
            found.push((entry.file_name().to_string_lossy().into_owned(), program));
        }
    }
    found.sort();
    Ok(found)
}

/// Why a program would not start.
fn problem(needs: &Needs, architecture: &str) -> Option<String> {
    if needs.architecture != architecture {
        return Some(format!(
            "is built for {}, and samconfig.toml says Architecture={architecture}. Build it again: sam build",
            needs.architecture
        ));
    }
    let Version(major, minor) = needs.glibc.filter(|glibc| *glibc > LAMBDA_GLIBC)?;
    Some(format!(
        "needs glibc {major}.{minor}, and Lambda has {}.{}. Link it with zig: pip install --require-hashes -r tools/requirements-cross.txt, \
         and sam build without CARGO_LAMBDA_COMPILER",
        LAMBDA_GLIBC.0, LAMBDA_GLIBC.1
    ))
}

/// What an ELF file for Linux says of itself (`man 5 elf`). `None` for anything else.
fn needs(elf: &[u8]) -> Option<Needs> {
    const CLASS_64_LITTLE_ENDIAN: &[u8] = b"\x7fELF\x02\x01";
    const VERSIONS_NEEDED: usize = 0x6fff_fffe;
    const SECTION_BYTES: usize = 64;
    if !elf.starts_with(CLASS_64_LITTLE_ENDIAN) {
        return None;
    }
    let architecture = match number(elf, 18, 2)? {
        62 => "x86_64",
        183 => "arm64",
        _ => return None,
    };
    let (sections, count) = (number(elf, 40, 8)?, number(elf, 60, 2)?);
    let section = |index: usize| index.checked_mul(SECTION_BYTES)?.checked_add(sections);
    let mut glibc = None;
    for index in 0..count {
        let at = section(index)?;
        if number(elf, at + 4, 4)? == VERSIONS_NEEDED {
            let names = number(elf, section(number(elf, at + 40, 4)?)? + 24, 8)?;
            glibc = glibc.max(newest_glibc(elf, number(elf, at + 24, 8)?, number(elf, at + 44, 4)?, names)?);
        }
    }
    Some(Needs { architecture, glibc })
}

/// The newest version of the C library in a table of needed versions; `Some(None)` when there is none.
fn newest_glibc(elf: &[u8], table: usize, libraries: usize, names: usize) -> Option<Option<Version>> {
    /// A version that a program can do without.
    const WEAK: usize = 2;
    let mut newest = None;
    let mut library = table;
    for _ in 0..libraries {
        let mut version = library + number(elf, library + 8, 4)?;
        for _ in 0..number(elf, library + 2, 2)? {
            let name = elf.get(names.checked_add(number(elf, version + 8, 4)?)?..)?;
            if number(elf, version + 4, 2)? & WEAK == 0 {
                newest = newest.max(glibc_version(name.split(|byte| *byte == 0).next()?));
            }
            version += number(elf, version + 12, 4)?;
        }
        library += number(elf, library + 12, 4)?;
    }
    Some(newest)
}

/// `GLIBC_2.34`, and `GLIBC_2.2.5` of old.
fn glibc_version(name: &[u8]) -> Option<Version> {
    let mut parts = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?.split('.');
    Some(Version(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A number in little endian.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let little = bytes.get(at..at.checked_add(length)?)?;
    Some(little.iter().rev().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_what_it_needs() {
        // This test itself, which the linker of this machine made.
        let program = fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&program).unwrap();
        let here = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x86_64" };
        assert_eq!(needs.architecture, here);
        // The standard library needs this much, and no machine that compiles it has less.
        assert!(needs.glibc.unwrap() >= Version(2, 17), "{needs:?}");
    }

    #[test]
    fn what_is_no_program_or_is_cut_off_is_refused() {
        let program = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(needs(b"#!/bin/sh\n"), None);
        for length in [0, 6, 20, 64, program.len() / 2] {
            assert_eq!(needs(&program[..length]), None, "{length}");
        }
    }

    #[test]
    fn versions_are_numbers() {
        assert_eq!(glibc_version(b"GLIBC_2.2.5"), Some(Version(2, 2)));
        assert!(glibc_version(b"GLIBC_2.9") < glibc_version(b"GLIBC_2.34"));
        assert_eq!(glibc_version(b"GCC_3.0"), None);
    }

    #[test]
    fn a_program_that_would_not_start_is_named_with_the_reason() {
        let needs = |architecture, glibc| Needs { architecture, glibc };
        let problem = |of: Needs| problem(&of, "arm64");
        assert_eq!(problem(needs("arm64", Some(LAMBDA_GLIBC))), None);
        assert_eq!(problem(needs("arm64", None)), None);
        let other = problem(needs("x86_64", None)).unwrap();
        assert!(other.contains("built for x86_64") && other.contains("Architecture=arm64"), "{other}");
        let newer = problem(needs("arm64", Some(Version(2, 39)))).unwrap();
        assert!(newer.contains("needs glibc 2.39, and Lambda has 2.34"), "{newer}");
    }
}

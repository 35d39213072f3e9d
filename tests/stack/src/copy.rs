use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use orderbus::repository;
use tempfile::TempDir;

/// A copy of the repository, to be changed. What is compiled is compiled for it too: files keep their times, and Cargo names
/// packages of a workspace by their place in it. The tools are the same. Dropping it removes it.
#[derive(Debug)]
pub struct Copy {
    folder: TempDir,
}

impl Copy {
    /// Makes one.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub fn of_the_repository() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("orderbus-copy-").tempdir()?;
        let copy = Self { folder };
        copy_folder(&repository::root(), &copy.root())?;
        symlink(repository::tools(), copy.root().join(".tools")).context("cannot link .tools")?;
        Ok(copy)
    }

    /// Where it is. The folder above it is its own as well.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("orderbus")
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    const LEFT_OUT: [&str; 6] = [".git", "target", ".tools", ".local", ".aws-sam", "node_modules"];
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (name, place) = (entry.file_name(), to.join(entry.file_name()));
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), &place).with_context(|| format!("cannot copy {}", place.display()))?;
            let time = entry.metadata()?.modified()?;
            File::options().write(true).open(&place).and_then(|file| file.set_modified(time))?;
        }
    }
    Ok(())
}

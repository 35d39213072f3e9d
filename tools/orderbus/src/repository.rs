//! Where things lie in the repository.

use std::env;
use std::path::{Path, PathBuf};

/// The folder of the workspace: the one above the package that Cargo runs or tests, or above where we are. Not the
/// one in which this program was compiled, because a repository may be moved together with what was built in it.
#[must_use]
pub fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = package.or_else(|| env::current_dir().ok()).unwrap_or_default();
    let is_root = |folder: &&Path| folder.join("Cargo.lock").is_file();
    here.ancestors().find(is_root).unwrap_or(&here).to_path_buf()
}

/// What `orderbus local` keeps: process id, port, logs, data. Ignored by git.
#[must_use]
pub fn local_state() -> PathBuf {
    root().join(".local")
}

/// The Python programs that the local stack needs. Ignored by git. Where this is a link, several copies of the repository
/// share them; they are installed for the place where they are.
#[must_use]
pub fn tools() -> PathBuf {
    let folder = root().join(".tools");
    folder.canonicalize().unwrap_or(folder)
}

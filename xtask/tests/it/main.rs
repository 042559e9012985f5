//! The tidiness of the tree: which crate may lean on which, what keeps the pure crates pure, and that every page tells
//! of what is there.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the tree has failed")]

mod edges;
mod pages;

use std::path::{Path, PathBuf};

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

//! What speaks the wire is generated from `proto/` and kept in the tree, so that whoever builds needs no generator.
//! `UPDATE_EXPECT=1` writes it anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost::Message as _;

fn of_crate(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What the generator makes of `proto/` now, by file.
fn generated() -> BTreeMap<String, Vec<u8>> {
    let mut files = protox::compile(["rpc.proto", "lock.proto", "election.proto"], [of_crate("proto")]).unwrap();
    files.file.iter_mut().for_each(|file| file.source_code_info = None);
    let to = tempfile::tempdir().unwrap();
    let mut config = tonic_prost_build::Config::new();
    config.bytes(["."]).out_dir(to.path());
    tonic_prost_build::configure()
        .build_transport(false)
        .out_dir(to.path())
        .compile_fds_with_config(files.clone(), config)
        .unwrap();
    let read =
        |entry: std::fs::DirEntry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap());
    let mut made: BTreeMap<_, _> = std::fs::read_dir(to.path()).unwrap().map(|entry| read(entry.unwrap())).collect();
    made.insert("descriptors.bin".to_owned(), files.encode_to_vec());
    made
}

#[test]
fn the_wire_is_what_its_description_says() {
    let kept = of_crate("src/etcd/wire");
    for (name, text) in generated() {
        let path = kept.join(&name);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert!(std::fs::read(&path).ok() == Some(text), "{name} is not of this description: run with UPDATE_EXPECT=1");
    }
}

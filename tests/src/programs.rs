//! Where the programs under test lie.

use std::{env, path::PathBuf};

/// The path of a program of this workspace, `flotilla` or `flotilla-certs`.
///
/// It lies beside the running test (`target/debug`), or in the directory that the variable
/// `FLOTILLA_TEST_PROGRAMS` names: another profile, an installed release.
///
/// # Panics
/// When it is not there, with the command that builds it.
pub fn program(name: &str) -> PathBuf {
    let directory =
        env::var_os("FLOTILLA_TEST_PROGRAMS").map_or_else(beside_the_test, PathBuf::from);
    let path = directory.join(name);
    assert!(
        path.is_file(),
        "There is no program '{}'. Build it with 'cargo build --workspace --bins', or run all \
         tests with 'make test'.",
        path.display()
    );
    path
}

/// `target/debug` for `target/debug/deps/black_box-0123456789abcdef`.
fn beside_the_test() -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");
    let profile = test.ancestors().nth(2).expect("cargo puts tests into target/PROFILE/deps");
    profile.to_path_buf()
}

//! The exact output of the program: the files in `tests/cmd`, and in `tests/cmd/own` the output for
//! an operator who has a key and knows no router. After an intended change:
//!
//! ```sh
//! TRYCMD=overwrite cargo test -p postwire --test golden
//! ```

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt as _;

use proto_core::key::{KEY_TEXT_LEN, SecretKey};

#[test]
fn output_is_as_recorded() {
    let nowhere = tempfile::tempdir().unwrap();
    trycmd::TestCases::new()
        .env("POSTWIRE_HOME", nowhere.path().join("home").display().to_string())
        .case("tests/cmd/*.trycmd")
        .insert_var("[HOME]", nowhere.path().join("home").display().to_string())
        .unwrap();
}

#[test]
fn output_for_who_has_a_key_is_as_recorded() {
    let home = tempfile::tempdir().unwrap();
    let (folder, key) = (home.path().display().to_string(), home.path().join("key"));
    write(&key, SecretKey::new([0x31; 32]).reveal(&mut [0; KEY_TEXT_LEN])).unwrap();
    set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    trycmd::TestCases::new()
        .env("POSTWIRE_HOME", &folder)
        .case("tests/cmd/own/*.trycmd")
        .insert_var("[HOME]", folder)
        .unwrap();
}

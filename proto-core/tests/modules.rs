//! The root modules of the crate use each other in one direction only, so that each can be a
//! feature, and a feature brings no more than its modules need. Reads the `crate::` paths in the
//! sources, without tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The root modules that each root module uses.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut uses = BTreeMap::<String, BTreeSet<String>>::new();
    for file in files {
        let place = file.strip_prefix(&root).unwrap().with_extension("");
        let mut parts = place.iter().map(|part| part.to_str().unwrap());
        let module = parts.next().unwrap().to_owned();
        if module == "lib" || parts.any(|part| part == "tests" || part == "fixture") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let named = uses.entry(module.clone()).or_default();
        for path in code.flat_map(|line| line.split("crate::").skip(1)) {
            let end = path.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(path.len());
            named.extend(Some(path[..end].to_owned()).filter(|name| *name != module));
        }
    }
    uses
}

/// `ConfigError` had `Display` only, and `TooLong`, `EnvelopeError` and `ClientError` had no trait
/// at all.
#[test]
fn every_error_is_an_error() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let mut errors = 0;
    let returned = text.split("Result<").skip(1).filter_map(|rest| {
        // The last type of `Result<T, E>` on one line, without its parameters.
        let inside = rest.lines().next()?.split(" {").next()?.trim_end_matches(['>', ';', ',']);
        let name = inside.rsplit(", ").next()?.split('<').next()?.rsplit("::").next()?;
        Some(name).filter(|name| name.chars().all(char::is_alphanumeric))
    });
    for name in returned.collect::<BTreeSet<_>>() {
        let public = ["enum", "struct"].iter().any(|kind| {
            ["", "<", ";", " {"]
                .iter()
                .skip(1)
                .any(|end| text.contains(&format!("\npub {kind} {name}{end}")))
        });
        let is_error = name.ends_with("Error")
            || ["Full", "Malformed", "TooLong", "Misread", "Lost", "Stopped", "Errno"]
                .contains(&name);
        if public && is_error {
            errors += 1;
            assert!(text.contains(&format!("core::error::Error for {name}")), "{name}");
        }
    }
    assert!(errors > 15, "{errors}");
}

#[test]
fn the_modules_have_no_cycle() {
    let mut left = uses();
    assert!(left.contains_key("netlink") && left["netlink"].contains("ip"), "{left:?}");
    // A module without uses is removed from the uses of the others.
    while let Some(done) = left.iter().find(|(_, uses)| uses.is_empty()).map(|(m, _)| m.clone()) {
        left.remove(&done);
        left.values_mut().for_each(|uses| {
            uses.remove(&done);
        });
    }
    assert!(left.is_empty(), "modules that use each other in a cycle: {left:?}");
}

#[test]
fn a_module_uses_what_its_feature_has() {
    let may: BTreeMap<&str, &[&str]> = [
        ("conf", &["encoding", "ifname", "ip", "key", "text"][..]),
        ("netlink", &["conf", "encoding", "ifname", "ip", "key", "text"]),
        ("protocol", &["conf", "encoding", "ifname", "ip", "key", "text"]),
    ]
    .into();
    for (module, uses) in uses() {
        let small = ["encoding", "ifname", "ip", "key", "text"];
        let may = may.get(module.as_str()).copied().unwrap_or(&small);
        for used in uses {
            assert!(may.contains(&used.as_str()), "{module} uses {used}");
        }
    }
}

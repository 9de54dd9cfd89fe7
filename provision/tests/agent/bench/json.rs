//! What `--json` prints, held against its description: the tables in `report.rs`.

use serde_json::Value;

const DESCRIPTION: &str = include_str!("../../../src/report.rs");

/// The description of a command's result.
fn row(command: &str) -> Option<&'static str> {
    let name = format!("`{command}`");
    let is = |names: &str| names.split(", ").any(|one| one.split(" (").next() == Some(&name));
    let rows =
        DESCRIPTION.lines().filter_map(|line| line.strip_prefix("//! | ")?.split_once(" | "));
    let (_, fields) = rows.into_iter().find(|(names, _)| is(names))?;
    match fields.starts_with("the fields of `push`") {
        true => row("push"),
        false => Some(fields),
    }
}

/// Checks that each field of a result is described.
#[track_caller]
pub(super) fn is_described(json: &Value) {
    let (Some(command), Some(result)) = (json["command"].as_str(), json["result"].as_object())
    else {
        return;
    };
    for record in result.get("records").and_then(Value::as_array).into_iter().flatten() {
        super::schema::describes(record);
    }
    let described =
        row(command).unwrap_or_else(|| panic!("nothing describes the result of {command}"));
    for field in result.keys() {
        let is_named = described.contains(&format!("`{field}`"));
        assert!(is_named, "the field {field} of the result of {command} is not described");
    }
    if let Some(router) = result.get("router").and_then(Value::as_object) {
        let all = DESCRIPTION.split_once("`router` is an object of").expect("it is described").1;
        let all = all.split_once(';').expect("a part of a sentence").0;
        for field in router.keys().filter(|_| command != "unlock") {
            assert!(
                all.contains(&format!("`{field}`")),
                "the field {field} of a router is not described"
            );
        }
    }
}

//! What tests print about themselves: how many lines, states or orders they ran.

/// The first line with a number in front that each of these tests printed, from the output of `cargo test -- --show-output`.
/// A test is named by a part of its path.
#[must_use]
pub fn told(printed: &str, tests: &[&str]) -> Vec<String> {
    let mut lines = printed.lines();
    let mut all = Vec::new();
    while let Some(line) = lines.next() {
        let name = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        let Some(name) = name.filter(|name| tests.iter().any(|test| name.contains(test))) else {
            continue;
        };
        let mut told = lines.by_ref().take_while(|line| !line.is_empty());
        if let Some(told) = told.find(|line| line.starts_with(|first: char| first.is_ascii_digit()))
        {
            all.push(format!("{name}: {told}"));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn the_numbers_of_a_property_are_told() {
        let printed = "running 3 tests\ntest lines::slow ... ok\n\nsuccesses:\n\n\
            ---- lines::slow stdout ----\n| table |\n14 lines without loss\n\n\n\
            ---- other::one stdout ----\n3 of another\n\n\
            ---- service::model::all stdout ----\n9 stories\n\n\nsuccesses:\n    lines::slow\n";
        let expected = ["lines::slow: 14 lines without loss", "service::model::all: 9 stories"];
        assert_eq!(told(printed, &["lines::", "::model::"]), expected);
    }
}

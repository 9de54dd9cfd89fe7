//! What the program prints, word for word: the files in `tests/cmd`. After a change that is meant:
//!
//! ```sh
//! TRYCMD=overwrite cargo test -p postwire --test golden
//! ```

#[test]
fn output_is_as_recorded() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd").run();
}

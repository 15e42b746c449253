//! `doctor`.

use soulbox_tests::Soulbox;

#[test]
fn each_requirement_is_told_with_its_reason_and_cure() {
    let ended = Soulbox::new().run(["doctor", "--json"]);
    let report = ended.json();
    assert_eq!(
        report["can_run"].as_bool(),
        Some(ended.code == 0),
        "{report}"
    );
    let checks = report["checks"].as_array().expect("checks");
    assert!(checks.len() > 15, "{report}");
    for check in checks {
        assert!(
            check["why"].as_str().is_some_and(|why| why.len() > 10),
            "{check}"
        );
        assert_eq!(
            check["mend"].is_null(),
            check["finding"] == "found",
            "{check}"
        );
    }
}

#[test]
fn this_machine_can_run_the_tests() {
    let ended = Soulbox::new().run(["doctor"]).expect_code(0);
    assert!(
        ended.text().contains("soulbox run can work"),
        "{}",
        ended.text()
    );
}

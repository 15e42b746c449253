//! `bench`: each question answers, with the machine beside the figures. These run alone, see
//! `.config/nextest.toml`.

use soulbox_tests::Soulbox;

#[test]
fn times_come_with_percentiles_and_the_machine() {
    let soulbox = Soulbox::new();
    for arguments in [
        &["bench", "create", "--count", "3"][..],
        &["bench", "run", "--count", "20"],
        &["bench", "exec", "--count", "5"],
    ] {
        let report = soulbox
            .run(arguments.iter().chain(&["--json"]))
            .expect_code(0)
            .json();
        assert!(report["machine"]["cores"].as_u64() > Some(0), "{report}");
        assert!(report["load_before"][0].is_number(), "{report}");
        let times = report["times"].as_array().expect("times");
        assert!(times.len() >= 2, "{report}");
        for row in times {
            assert!(row["p50_us"].as_u64() <= row["p99_us"].as_u64(), "{row}");
        }
    }
}

#[test]
fn memory_of_idle_sandboxes_is_told() {
    let report = Soulbox::new().run(["bench", "memory", "--count", "5", "--json"]);
    let report = report.expect_code(0).json();
    let figures = report["figures"].as_array().expect("figures");
    let pss = figures
        .iter()
        .find(|figure| figure["name"].to_string().contains("PSS"));
    assert!(
        pss.is_some_and(|pss| pss["value"].as_f64() > Some(1.0)),
        "{report}"
    );
}

#[test]
fn a_hundred_cycles_leave_nothing() {
    let ended = Soulbox::new().run(["bench", "leak", "--cycles", "100"]);
    let page = ended.text();
    assert!(page.contains("descriptors of the spawner"), "{page}");
    assert_eq!(ended.code, 0, "{page}\n{}", ended.stderr);
}

#[test]
fn the_reference_is_told_as_json_markdown_and_a_page() {
    let soulbox = Soulbox::new();
    let output = soulbox.home().join("reference");
    let mut command = soulbox.command(["bench", "reference", "--parts", "cold,throughput,memory"]);
    command
        .args(["--users", "2", "--concurrent", "2", "--seconds", "1"])
        .args(["--warm-up", "0", "--alone", "--json", "--output"])
        .arg(&output)
        .env("SOULBOX_STORAGE_BACKEND", "memory");
    let spawned = command.spawn().expect("the program starts");
    let report = soulbox_tests::end(spawned).expect_code(0).json();
    let tables = report["tables"].as_array().expect("tables");
    let titles: Vec<_> = tables.iter().map(|table| &table["title"]).collect();
    assert_eq!(
        titles,
        [
            "Memory of the service",
            "Cold start of hello world",
            "Throughput of fibonacci(10)",
            "What is promised"
        ]
    );
    for table in &tables[..3] {
        let lines = table["lines"].as_array().expect("lines");
        let measured = lines
            .iter()
            .all(|line| line["here"][0].as_f64() > Some(0.0));
        assert!(measured, "{table}");
    }
    let errors = &tables[3]["lines"][5];
    assert_eq!(
        (&errors["what"], &errors["here"][0]),
        (&"errors".into(), &0.0.into())
    );
    let read = |name: &str| std::fs::read_to_string(output.join(name)).expect("a file");
    assert!(read("reference.md").contains("| p50 | ms |"));
    assert!(read("reference.html").contains("</svg>"));
    assert_eq!(
        read("reference.json")
            .matches("\"bench\": \"reference\"")
            .count(),
        1
    );
}

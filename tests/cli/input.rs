//! stdin goes in.

use soulbox_tests::Soulbox;

#[test]
fn stdin_reaches_the_code_to_the_last_byte() {
    let soulbox = Soulbox::new();
    let input: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let ended = soulbox.run_with_input(&["run", "-l", "bash", "-c", "cat"], &input);
    assert!(ended.expect_code(0).stdout == input);
}

#[test]
fn code_from_stdin_leaves_none_for_the_code() {
    let soulbox = Soulbox::new();
    let code = b"import sys; print(repr(sys.stdin.read()))";
    assert_eq!(
        soulbox
            .run_with_input(&["run", "-"], code)
            .expect_code(0)
            .text(),
        "''\n"
    );
}

#[test]
fn code_from_stdin_may_say_its_language() {
    let soulbox = Soulbox::new();
    let ended = soulbox.run_with_input(&["run", "-"], b"#!/bin/sh\necho $((6 * 7))\n");
    assert_eq!(ended.expect_code(0).text(), "42\n");
}

#[test]
fn input_that_nobody_reads_holds_nothing_up() {
    let soulbox = Soulbox::new();
    let input = vec![b'x'; 4 << 20];
    soulbox
        .run_with_input(&["run", "-c", "print('done')"], &input)
        .expect_code(0);
    let ended = soulbox.run_with_input(&["run", "-l", "bash", "-c", "head -c 3"], &input);
    assert_eq!(ended.expect_code(0).text(), "xxx");
}

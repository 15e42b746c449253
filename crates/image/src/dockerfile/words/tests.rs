use super::*;
use proptest::prelude::*;

fn value(name: &str) -> Option<String> {
    match name {
        "PWD" => Some("/home".into()),
        "SHELL" => Some("bash".into()),
        "EMPTY" => Some(String::new()),
        "HOME" => Some("/home/user".into()),
        "FILE" => Some("a.tar.gz".into()),
        "NUM" => Some("5".into()),
        _ => None,
    }
}

fn replaced(word: &str, escape: char) -> Result<String, Problem> {
    Words {
        value: &value,
        escape,
        keep_quotes: false,
    }
    .replace(word)
    .map(|replaced| replaced.text)
}

#[test]
fn words_are_replaced_as_docker_does() {
    for (word, expected) in [
        ("hello", "hello"),
        ("he'll'o", "hello"),
        ("he\\'llo", "he'llo"),
        ("he\\\\llo", "he\\llo"),
        ("abc'def\\", "!"),
        ("\"hel'lo\"", "hel'lo"),
        ("'hel\\'", "hel\\"),
        ("'hel\\\\lo'", "hel\\\\lo"),
        ("\"\\\"\"", "\""),
        ("\"a\\nb\"", "a\\nb"),
        ("\"\\$PWD\"", "$PWD"),
        ("\"\\\\$PWD\"", "\\/home"),
        ("\\$PWD", "$PWD"),
        ("\\\\$PWD", "\\/home"),
        ("'$PWD'", "$PWD"),
        ("he$PWD.", "he/home."),
        ("he${PWD}xx", "he/homexx"),
        ("$PWDxx", ""),
        ("a$", "a$"),
        ("a$.", "a$."),
        ("a$$b", "ab"),
        ("$1x", "x"),
        ("${}", "!"),
        ("${:x}", "!"),
        ("${{x}}", "!"),
        ("${PWD", "!"),
        ("${PWD:-x", "!"),
        ("${PWD^^}", "!"),
        ("${PWD:=x}", "!"),
        ("${PWD:}", "!"),
        ("${NO:-x}", "x"),
        ("${NO-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${NO:-${PWD}y}", "/homey"),
        ("${NO:-$PWD}", "/home"),
        ("${NO:-${NEITHER:-'a b'}}", "a b"),
        ("${PWD:+x}", "x"),
        ("${PWD+x}", "x"),
        ("${NO:+x}", ""),
        ("${EMPTY:+x}", ""),
        ("${EMPTY+x}", "x"),
        ("${PWD:?no}", "/home"),
        ("${NO:?no}", "!"),
        ("${EMPTY:?}", "!"),
        ("${EMPTY?}", ""),
        ("${FILE#*.}", "tar.gz"),
        ("${FILE##*.}", "gz"),
        ("${FILE%.*}", "a.tar"),
        ("${FILE%%.*}", "a"),
        ("${FILE#x}", "a.tar.gz"),
        ("${FILE%.??}", "a.tar"),
        ("${FILE/a/b}", "b.tar.gz"),
        ("${FILE//a/b}", "b.tbr.gz"),
        ("${FILE//./}", "atargz"),
        ("${FILE/.*/}", "a"),
        ("${HOME/\\/home/x}", "x/user"),
        ("${FILE%\\.gz}", "!"),
        ("${NO/a/b}", ""),
        ("a b  'c  d'", "a b  c  d"),
        ("안녕$PWD세상", "안녕"),
        ("안녕${PWD}세상", "안녕/home세상"),
    ] {
        let got = replaced(word, '\\').unwrap_or_else(|_| "!".into());
        assert_eq!(got, expected, "{word}");
    }
}

#[test]
fn another_character_escapes_where_the_file_says_so() {
    assert_eq!(replaced("a\\b`$PWD", '`').unwrap(), "a\\b$PWD");
    assert_eq!(replaced("\"\\$PWD`\"\"", '`').unwrap(), "\\/home\"");
}

#[test]
fn here_documents_keep_their_quotes() {
    let words = Words {
        value: &value,
        escape: '\\',
        keep_quotes: true,
    };
    assert_eq!(
        words.replace("it's \"$PWD\" \\$PWD").unwrap().text,
        "it's \"/home\" $PWD"
    );
}

#[test]
fn what_is_not_set_is_told() {
    let words = Words {
        value: &value,
        escape: '\\',
        keep_quotes: false,
    };
    let replaced = words.replace("$NO ${NO} ${ALSO} ${KNOWN:-x}").unwrap();
    assert_eq!(replaced.unset, ["NO", "ALSO"]);
}

#[test]
fn variables_inside_of_each_other_end_somewhere() {
    let deep = "${a:-".repeat(100_000);
    assert!(replaced(&deep, '\\').is_err());
    let long = |_: &str| Some("x".repeat(MAX_WORD));
    let words = Words {
        value: &long,
        escape: '\\',
        keep_quotes: false,
    };
    assert!(words.replace("$a$a$a").is_err());
}

proptest! {
    #[test]
    fn any_word_is_replaced_or_refused(word in "[a-zA-Z${}:+?/#%'\"\\\\ *.-]{0,60}") {
        let _ = replaced(&word, '\\');
    }

    #[test]
    fn words_without_anything_special_stay(word in "[a-zA-Z0-9 _./:+*?#%{}-]{0,60}") {
        prop_assert_eq!(replaced(&word, '\\').unwrap(), word);
    }

    #[test]
    fn what_is_in_single_quotes_stays(word in "[^']{0,60}") {
        prop_assert_eq!(replaced(&format!("'{word}'"), '\\').unwrap(), word);
    }
}

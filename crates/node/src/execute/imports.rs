//! What Python code imports, as far as its text says: enough to choose what an interpreter is to have
//! loaded when it begins. Nothing depends on it but speed: what was not foreseen is imported then.

use crate::execute::program::{Content, Program};
use crate::zygotes::Script;

/// The most of the code that is looked at, in bytes. Imports come first.
const LOOK: usize = 256 * 1024;

/// What kind of script a program is, as far as that decides what a sandbox is to have loaded for it.
pub fn script_of(program: &Program) -> Script {
    match program.language.name {
        "javascript" => Script::JavaScript,
        _ if needs_packages(program) => Script::Packages,
        _ => Script::Plain,
    }
}

/// Whether a program in Python imports what Python does not come with. Its own modules do not count.
fn needs_packages(program: &Program) -> bool {
    if program.language.name != "python" {
        return false;
    }
    let entry = program
        .files
        .iter()
        .find(|file| file.remote == program.entry);
    let Some(Content::Bytes(code)) = entry.map(|entry| &entry.content) else {
        return false;
    };
    let own = |module: &str| {
        let file = format!("{}/{module}", program.home);
        program.files.iter().any(|known| {
            let rest = known.remote.strip_prefix(&file);
            rest.is_some_and(|rest| rest == ".py" || rest.starts_with('/'))
        })
    };
    let code = code.get(..LOOK).unwrap_or(code);
    python_imports(code).any(|module| STANDARD.binary_search(&module).is_err() && !own(module))
}

/// The first parts of the modules' names in statements that begin with `import` or `from`, in the order of the
/// text and as often as they are there.
pub fn python_imports(code: &[u8]) -> impl Iterator<Item = &str> {
    let statements = code.split(|byte| matches!(byte, b'\n' | b'\r' | b';' | b':'));
    statements.flat_map(|statement| {
        let statement = std::str::from_utf8(statement).unwrap_or_default().trim();
        let (word, rest) = statement.split_once([' ', '\t']).unwrap_or_default();
        let (names, all) = match word {
            "import" => (rest, true),
            "from" => (rest.split_whitespace().next().unwrap_or_default(), false),
            _ => ("", false),
        };
        let most = if all { usize::MAX } else { 1 };
        names.split(',').take(most).filter_map(first_part)
    })
}

fn first_part(name: &str) -> Option<&str> {
    let name = name.trim();
    let end = name.find(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    let part = name.get(..end.unwrap_or(name.len()))?;
    (!part.is_empty()).then_some(part)
}

/// The modules that Python comes with, sorted: `sys.stdlib_module_names` of Python 3.11
/// (<https://docs.python.org/3.11/library/sys.html#sys.stdlib_module_names>), and `__future__`.
#[rustfmt::skip]
const STANDARD: &[&str] = &[
    "__future__", "abc", "aifc", "antigravity", "argparse", "array", "ast", "asynchat", "asyncio", "asyncore",
    "atexit", "audioop", "base64", "bdb", "binascii", "bisect", "builtins", "bz2", "cProfile",
    "calendar", "cgi", "cgitb", "chunk", "cmath", "cmd", "code", "codecs", "codeop", "collections",
    "colorsys", "compileall", "concurrent", "configparser", "contextlib", "contextvars", "copy",
    "copyreg", "crypt", "csv", "ctypes", "curses", "dataclasses", "datetime", "dbm", "decimal",
    "difflib", "dis", "distutils", "doctest", "email", "encodings", "ensurepip", "enum", "errno",
    "faulthandler", "fcntl", "filecmp", "fileinput", "fnmatch", "fractions", "ftplib", "functools",
    "gc", "genericpath", "getopt", "getpass", "gettext", "glob", "graphlib", "grp", "gzip",
    "hashlib", "heapq", "hmac", "html", "http", "idlelib", "imaplib", "imghdr", "imp", "importlib",
    "inspect", "io", "ipaddress", "itertools", "json", "keyword", "lib2to3", "linecache", "locale",
    "logging", "lzma", "mailbox", "mailcap", "marshal", "math", "mimetypes", "mmap", "modulefinder",
    "msilib", "msvcrt", "multiprocessing", "netrc", "nis", "nntplib", "nt", "ntpath", "nturl2path",
    "numbers", "opcode", "operator", "optparse", "os", "ossaudiodev", "pathlib", "pdb", "pickle",
    "pickletools", "pipes", "pkgutil", "platform", "plistlib", "poplib", "posix", "posixpath",
    "pprint", "profile", "pstats", "pty", "pwd", "py_compile", "pyclbr", "pydoc", "pydoc_data",
    "pyexpat", "queue", "quopri", "random", "re", "readline", "reprlib", "resource", "rlcompleter",
    "runpy", "sched", "secrets", "select", "selectors", "shelve", "shlex", "shutil", "signal",
    "site", "smtpd", "smtplib", "sndhdr", "socket", "socketserver", "spwd", "sqlite3",
    "sre_compile", "sre_constants", "sre_parse", "ssl", "stat", "statistics", "string",
    "stringprep", "struct", "subprocess", "sunau", "symtable", "sys", "sysconfig", "syslog",
    "tabnanny", "tarfile", "telnetlib", "tempfile", "termios", "textwrap", "this", "threading",
    "time", "timeit", "tkinter", "token", "tokenize", "tomllib", "trace", "traceback",
    "tracemalloc", "tty", "turtle", "turtledemo", "types", "typing", "unicodedata", "unittest",
    "urllib", "uu", "uuid", "venv", "warnings", "wave", "weakref", "webbrowser", "winreg",
    "winsound", "wsgiref", "xdrlib", "xml", "xmlrpc", "zipapp", "zipfile", "zipimport", "zlib",
    "zoneinfo",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::program::ProgramFile;
    use bytes::Bytes;
    use soulbox_model::Language;

    fn needs(code: &str) -> bool {
        let python = Language::named("python").unwrap();
        needs_packages(&Program::of_code(
            Bytes::from(code.to_owned()),
            python,
            None,
        ))
    }

    #[test]
    fn packages_are_told_from_what_python_comes_with() {
        assert!(STANDARD.is_sorted());
        for (code, expected) in [
            ("print('import numpy')", false),
            (
                "import json, os.path as p\nfrom collections import deque",
                false,
            ),
            ("from __future__ import annotations", false),
            ("import os; import numpy as np", true),
            ("import json,numpy", true),
            ("if 1:\n\tfrom pandas.core import x", true),
            ("try: import pandas", true),
            ("from . import x", false),
            ("# import numpy", false),
            ("important numpy", false),
            ("import", false),
            ("from", false),
            ("import matplotlib.pyplot as plt\r\n", true),
        ] {
            assert_eq!(needs(code), expected, "{code:?}");
        }
    }

    #[test]
    fn other_languages_and_a_programs_own_modules_do_not_count() {
        let code = || Bytes::from_static(b"import helper, parts.one");
        let bash = Language::named("bash").unwrap();
        assert!(!needs_packages(&Program::of_code(code(), bash, None)));
        let python = Language::named("python").unwrap();
        let mut program = Program::of_code(code(), python, None);
        assert!(needs_packages(&program));
        let file = |name: &str| ProgramFile {
            remote: format!("/home/user/{name}"),
            content: Content::Bytes(Bytes::new()),
            executable: false,
        };
        program
            .add_files(vec![file("helper.py"), file("parts/one.py")])
            .unwrap();
        assert!(!needs_packages(&program));
    }
}

//! The table of languages. The first is the one of code that says nothing about itself.

use super::{Language, Program, Way};

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package }
}

const NODE: Program = program("node", "nodejs");

/// Takes out types when node loads a file.
const SUCRASE: &str = "/usr/lib/soulbox/kernels/javascript/node_modules/sucrase/register/ts.js";

/// Every language, in the order in which messages list them.
pub static LANGUAGES: [Language; 13] = [
    Language {
        name: "python",
        aliases: &["python3", "py3"],
        endings: &["py", "pyw"],
        interpreters: &["python", "pypy"],
        file: "main.py",
        entries: &["__main__.py", "main.py", "app.py"],
        ways: &[Way {
            needs: &[program("python3", "python3")],
            compile: &[],
            run: &["python3", "{file}"],
        }],
    },
    Language {
        name: "javascript",
        aliases: &["node", "nodejs"],
        endings: &["js", "mjs", "cjs"],
        interpreters: &["node", "nodejs"],
        file: "main.js",
        entries: &[
            "main.js",
            "main.mjs",
            "main.cjs",
            "index.js",
            "index.mjs",
            "index.cjs",
        ],
        ways: &[Way {
            needs: &[NODE],
            compile: &[],
            run: &["node", "{file}"],
        }],
    },
    Language {
        name: "typescript",
        aliases: &[],
        endings: &["ts", "mts", "cts"],
        interpreters: &["tsx", "ts-node", "deno", "bun"],
        file: "main.ts",
        entries: &["main.ts", "index.ts", "main.mts", "index.mts"],
        // Types are taken out, not checked: code is run here, not reviewed. esbuild needs 5 ms for
        // what takes `tsc` a second. The banner gives modules `require`, which bundled packages use.
        ways: &[
            Way {
                needs: &[program("esbuild", "esbuild"), NODE],
                compile: &[
                    "esbuild",
                    "{file}",
                    "--bundle",
                    "--platform=node",
                    "--format=esm",
                    "--banner:js=import*as m from'module';const require=m.createRequire(import.meta.url);",
                    "--log-level=error",
                    "--outfile={out}.mjs",
                ],
                run: &["node", "{out}.mjs"],
            },
            // What the kernels of code-interpreter templates bring: one file, its imports as CommonJS.
            Way {
                needs: &[program(SUCRASE, "sucrase (npm)"), NODE],
                compile: &[],
                run: &["node", "-r", SUCRASE, "{file}"],
            },
            Way {
                needs: &[program("tsx", "tsx (npm)")],
                compile: &[],
                run: &["tsx", "{file}"],
            },
            Way {
                needs: &[program("bun", "bun (npm)")],
                compile: &[],
                run: &["bun", "{file}"],
            },
            Way {
                needs: &[program("deno", "deno (npm)")],
                compile: &[],
                run: &["deno", "run", "--allow-all", "{file}"],
            },
        ],
    },
    Language {
        name: "bash",
        aliases: &["shell"],
        endings: &["sh", "bash"],
        interpreters: &["bash", "sh", "dash"],
        file: "main.sh",
        entries: &["main.sh", "run.sh"],
        ways: &[Way {
            needs: &[program("bash", "bash")],
            compile: &[],
            run: &["bash", "{file}"],
        }],
    },
    Language {
        name: "go",
        aliases: &["golang"],
        endings: &["go"],
        interpreters: &["go"],
        file: "main.go",
        entries: &["main.go"],
        // Not `go run`: it answers 1 whatever the program's exit code was.
        ways: &[Way {
            needs: &[program("go", "golang-go")],
            compile: &["go", "build", "-o", "{out}", "{sources}"],
            run: &["{out}"],
        }],
    },
    Language {
        name: "java",
        aliases: &[],
        endings: &["java"],
        interpreters: &["java"],
        file: "Main.java",
        entries: &["Main.java", "App.java"],
        // Not `java Main.java`: before Java 22 it wants `main` in the first class of the file.
        ways: &[Way {
            needs: &[
                program("javac", "default-jdk-headless"),
                program("java", "default-jre-headless"),
            ],
            compile: &["javac", "-d", "{classes}", "{sources}"],
            run: &["java", "-cp", "{classes}", "{class}"],
        }],
    },
    Language {
        name: "c",
        aliases: &[],
        endings: &["c"],
        interpreters: &[],
        file: "main.c",
        entries: &["main.c"],
        ways: &[Way {
            needs: &[program("gcc", "build-essential")],
            compile: &["gcc", "-O1", "-o", "{out}", "{sources}", "-lm", "-pthread"],
            run: &["{out}"],
        }],
    },
    Language {
        name: "c++",
        aliases: &[],
        endings: &["cpp", "cc", "cxx", "c++"],
        interpreters: &[],
        file: "main.cpp",
        entries: &["main.cpp", "main.cc", "main.cxx"],
        ways: &[Way {
            needs: &[program("g++", "build-essential")],
            compile: &["g++", "-O1", "-o", "{out}", "{sources}", "-pthread"],
            run: &["{out}"],
        }],
    },
    Language {
        name: "rust",
        aliases: &[],
        endings: &["rs"],
        interpreters: &[],
        file: "main.rs",
        entries: &["main.rs", "src/main.rs"],
        ways: &[Way {
            needs: &[program("rustc", "rustc")],
            compile: &["rustc", "--edition", "2021", "-O", "-o", "{out}", "{file}"],
            run: &["{out}"],
        }],
    },
    Language {
        name: "ruby",
        aliases: &[],
        endings: &["rb"],
        interpreters: &["ruby"],
        file: "main.rb",
        entries: &["main.rb", "app.rb"],
        ways: &[Way {
            needs: &[program("ruby", "ruby")],
            compile: &[],
            run: &["ruby", "{file}"],
        }],
    },
    Language {
        name: "php",
        aliases: &[],
        endings: &["php"],
        interpreters: &["php"],
        file: "main.php",
        entries: &["main.php", "index.php"],
        ways: &[Way {
            needs: &[program("php", "php-cli")],
            compile: &[],
            run: &["php", "{file}"],
        }],
    },
    Language {
        name: "perl",
        aliases: &[],
        endings: &["pl", "perl"],
        interpreters: &["perl"],
        file: "main.pl",
        entries: &["main.pl"],
        ways: &[Way {
            needs: &[program("perl", "perl")],
            compile: &[],
            run: &["perl", "{file}"],
        }],
    },
    Language {
        name: "r",
        aliases: &["rscript"],
        endings: &["r"],
        interpreters: &["Rscript"],
        file: "main.R",
        entries: &["main.R", "main.r"],
        ways: &[Way {
            needs: &[program("Rscript", "r-base-core")],
            compile: &[],
            run: &["Rscript", "{file}"],
        }],
    },
];

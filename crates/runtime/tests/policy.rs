//! The policy compiler: what it makes says what the rules say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

#[path = "policy/evaluate.rs"]
mod evaluate;
#[path = "policy/interpreter.rs"]
mod interpreter;
#[allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the build's half"
)]
#[path = "../build/policy.rs"]
mod policy;
#[path = "policy/random.rs"]
mod random;

use evaluate::evaluate;
use interpreter::{Call, run};
use policy::filter::compile;
use policy::program::Instruction;
use policy::rules::{Architecture, Demand, Rules, parse};
use policy::tables;
use proptest::prelude::*;
use random::{any_arguments, any_calls, any_rules};
use std::collections::BTreeSet;

const BOTH: [Architecture; 2] = [Architecture::X86_64, Architecture::Aarch64];
const CALLS: &str = include_str!("../../../policy/seccomp.toml");

const ALLOW: u32 = 0x7FFF_0000;
const TRAP: u32 = 0x0003_0000;
const EPERM: u32 = 0x0005_0001;
const EINVAL: u32 = 0x0005_0016;
const ENOSYS: u32 = 0x0005_0026;
const EPROTONOSUPPORT: u32 = 0x0005_005D;
const EAFNOSUPPORT: u32 = 0x0005_0061;

fn rules(architecture: Architecture) -> Rules {
    parse(CALLS, architecture).unwrap()
}

/// Every value that a rule names, its neighbours, and the same with a filled higher half.
fn telling_values(rules: &Rules) -> Vec<u64> {
    let mut values = BTreeSet::from([0, 1, u64::from(u32::MAX), u64::MAX, 1 << 32]);
    for condition in rules
        .rules
        .iter()
        .flat_map(|rule| &rule.cases)
        .flat_map(|case| &case.when)
    {
        match &condition.demand {
            Demand::Is(named) | Demand::IsNot(named) => values.extend(named),
            Demand::WithoutBits(bits) => {
                values.extend((0..64).map(|bit| 1 << bit).filter(|bit| bits & bit != 0));
            }
        }
    }
    let near = |value: u64| [value.wrapping_sub(1), value, value.wrapping_add(1)];
    let near: BTreeSet<u64> = values.into_iter().flat_map(near).collect();
    near.iter()
        .flat_map(|value| [*value, value ^ (1 << 32), value ^ (0xDEAD << 40)])
        .collect()
}

#[test]
fn the_filter_agrees_with_the_rules_on_every_number_and_telling_argument() {
    for architecture in BOTH {
        let rules = rules(architecture);
        let program = compile(&rules).unwrap();
        let values = telling_values(&rules);
        let numbers = (0..=600).chain([0x3FFF_FFFF, 0x4000_0000, u32::MAX - 1, u32::MAX]);
        for number in numbers {
            let check = |arguments| {
                let call = Call {
                    number,
                    architecture: architecture.token(),
                    arguments,
                };
                assert_eq!(run(&program, &call).0, evaluate(&rules, &call), "{call:x?}");
            };
            check([0; 6]);
            for value in &values {
                check([*value; 6]);
                for place in 0..3 {
                    let mut arguments = [0; 6];
                    arguments[place] = *value;
                    check(arguments);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_filter_agrees_with_the_rules_on_random_calls(
        calls in prop::collection::vec((0..=600_u32, any_arguments()), 1000),
        foreign in any::<u32>(),
    ) {
        for architecture in BOTH {
            let rules = rules(architecture);
            let program = compile(&rules).unwrap();
            let values = telling_values(&rules);
            for (number, seeds) in &calls {
                let arguments =
                    seeds.map(|(telling, at, any)| if telling { *at.get(&values) } else { any });
                for architecture in [architecture.token(), foreign] {
                    let call = Call { number: *number, architecture, arguments };
                    prop_assert_eq!(run(&program, &call).0, evaluate(&rules, &call), "{:x?}", call);
                }
            }
        }
    }

    /// Rules far larger and odder than ours, so that long jumps and 64-bit sets are met.
    #[test]
    fn any_rules_compile_to_what_they_say(rules in any_rules(), calls in any_calls()) {
        let program = compile(&rules).unwrap();
        let all = (0..=600).map(|number| (number, [0; 6]));
        for (number, arguments) in all.chain(calls) {
            let call = Call { number, architecture: rules.architecture.token(), arguments };
            prop_assert_eq!(run(&program, &call).0, evaluate(&rules, &call), "{:x?}", call);
        }
    }
}

#[test]
fn the_embedded_filter_is_the_compiled_policy_and_small() {
    let architecture = Architecture::from_name(std::env::consts::ARCH).unwrap();
    let rules = rules(architecture);
    let program = compile(&rules).unwrap();
    let embedded = soulbox_runtime::native::seccomp::FILTER;
    let plain = |i: &Instruction| (i.code, i.jt, i.jf, i.k);
    assert!(
        embedded
            .iter()
            .map(|i| (i.code, i.jt, i.jf, i.k))
            .eq(program.iter().map(plain))
    );
    // Loading is paid for by the instruction; see policy/README.md.
    assert!(program.len() <= 200, "{} instructions", program.len());
    let longest = (0..=600).map(|number| {
        run(
            &program,
            &Call {
                number,
                architecture: architecture.token(),
                arguments: [0; 6],
            },
        )
        .1
    });
    let longest = longest.max().unwrap();
    assert!(longest <= 30, "{longest} instructions on the longest way");
    println!(
        "{} instructions, at most {longest} on the way",
        program.len()
    );
}

#[test]
fn every_call_that_linux_has_is_decided() {
    let x86_64 = rules(Architecture::X86_64);
    let undecided: Vec<_> = syscalls::x86_64::Sysno::iter()
        .filter(|call| {
            !x86_64
                .by_number
                .contains_key(&u32::try_from(call.id()).unwrap())
        })
        .collect();
    assert!(undecided.is_empty(), "{undecided:?}");
    let aarch64 = rules(Architecture::Aarch64);
    let undecided: Vec<_> = syscalls::aarch64::Sysno::iter()
        // The table has the calls that bring 64-bit time to 32-bit processors; aarch64 has not.
        .filter(|call| !(403..=423).contains(&call.id()))
        .filter(|call| {
            !aarch64
                .by_number
                .contains_key(&u32::try_from(call.id()).unwrap())
        })
        .collect();
    assert!(undecided.is_empty(), "{undecided:?}");
}

/// The answer of the real policy to a call on x86_64.
fn ask(call: &str, arguments: &[u64]) -> u32 {
    let rules = rules(Architecture::X86_64);
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let call = Call {
        number: Architecture::X86_64.number(call).unwrap(),
        architecture: Architecture::X86_64.token(),
        arguments: all,
    };
    run(&compile(&rules).unwrap(), &call).0
}

#[test]
fn arguments_decide_where_the_policy_says_so() {
    // Garbage in the half that Linux does not read changes nothing.
    const HIGH: u64 = 0xDEAD_BEEF_0000_0000;
    for (call, arguments, expected) in [
        // glibc's fork and pthread_create.
        ("clone", &[0x0120_0011][..], ALLOW),
        ("clone", &[0x003D_0F00], ALLOW),
        ("clone", &[0x1000_0011], EPERM),
        ("clone", &[HIGH | 0x0002_0011], EPERM),
        ("clone", &[HIGH | 0x0120_0011], ALLOW),
        ("clone3", &[0, 0], ENOSYS),
        ("unshare", &[0x200], ALLOW),
        ("unshare", &[0x1000_0000], EPERM),
        ("unshare", &[0x80], EPERM),
        ("unshare", &[1 << 37], EPERM),
        ("personality", &[0xFFFF_FFFF], ALLOW),
        ("personality", &[0x004_0000], ALLOW),
        ("personality", &[0x040_0000], EPERM),
        ("personality", &[HIGH | 0x040_0000], EPERM),
        ("socket", &[1, 1, 0], ALLOW),
        ("socket", &[2, 0x8_0801, 6], ALLOW),
        ("socket", &[10, 2, 17], ALLOW),
        ("socket", &[2, 10, 0], EPROTONOSUPPORT),
        ("socket", &[2, 1, 132], EPROTONOSUPPORT),
        ("socket", &[2, 1, 262], EPROTONOSUPPORT),
        ("socket", &[16, 3, 0], ALLOW),
        ("socket", &[16, 3, 9], EPROTONOSUPPORT),
        ("socket", &[17, 3, 0x300], EAFNOSUPPORT),
        ("socket", &[38, 5, 0], EAFNOSUPPORT),
        ("socket", &[40, 1, 0], EAFNOSUPPORT),
        ("socket", &[HIGH | 17, 3, 0], EAFNOSUPPORT),
        ("socket", &[HIGH | 16, 3, HIGH | 9], EPROTONOSUPPORT),
        ("socketpair", &[1, 1, 0], ALLOW),
        ("socketpair", &[30, 1, 0], EAFNOSUPPORT),
        ("ioctl", &[0, 0x5401], ALLOW),
        ("ioctl", &[0, 0x5412], EPERM),
        ("ioctl", &[0, 0x1_0000_5412], EPERM),
        ("ioctl", &[0, HIGH | 0x541C], EPERM),
        ("ioctl", &[0, 0x5423], EPERM),
        ("prctl", &[38], ALLOW),
        ("prctl", &[0x5961_6D61], ALLOW),
        ("prctl", &[62], EINVAL),
        ("prctl", &[HIGH | 67], EINVAL),
        ("io_uring_setup", &[], ENOSYS),
        ("mount", &[], EPERM),
        ("sync", &[], 0x0005_0000),
        ("ptrace", &[], ALLOW),
    ] {
        assert_eq!(ask(call, arguments), expected, "{call} {arguments:x?}");
    }
}

#[test]
fn other_interfaces_and_unknown_numbers_lead_nowhere() {
    let rules = rules(Architecture::X86_64);
    let program = compile(&rules).unwrap();
    let ask = |number, architecture| {
        run(
            &program,
            &Call {
                number,
                architecture,
                arguments: [0; 6],
            },
        )
        .0
    };
    let native = Architecture::X86_64.token();
    for number in 0..=600 {
        // i386 by `int 0x80`, and the other processor.
        assert_eq!(ask(number, 0x4000_0003), TRAP);
        assert_eq!(ask(number, Architecture::Aarch64.token()), TRAP);
        // The x32 interface is native with this bit set.
        assert_eq!(ask(number | 0x4000_0000, native), ENOSYS);
    }
    assert_eq!(ask(470, native), ENOSYS);
    assert_eq!(ask(u32::MAX - 1, native), ENOSYS);
    assert_eq!(ask(u32::MAX, native), ALLOW);
}

#[test]
fn mistakes_in_the_call_rules_fail_the_build() {
    let wrong = |from: &str, to: &str| {
        assert!(CALLS.contains(from), "the policy no longer has {from:?}");
        parse(&CALLS.replacen(from, to, 1), Architecture::X86_64).unwrap_err()
    };
    assert!(wrong("\"setns\"", "\"setsn\"").contains("no system call"));
    assert!(wrong("\"setns\"", "\"bpf\"").contains("twice"));
    assert!(wrong("answer = \"EPERM\"", "answer = \"EGAIN\"").contains("no answer"));
    assert!(wrong("answer = \"EPERM\"\n", "").contains("lacks a field"));
    assert!(wrong("\"getrandom\"", "\"getrandom\", \"getcpu\"").contains("not sorted"));
    assert!(wrong("reason = \"Random numbers.\"", "reason = \" \"").contains("lacks a field"));
    assert!(wrong("argument = 0", "argument = 6").contains("cannot hold"));
    assert!(wrong("width = 32", "width = 16").contains("not 16"));
    assert!(wrong("mask = 0xF", "mask = 0x1").contains("cannot hold"));
    assert!(wrong("is_not =", "isnt =").contains("unknown field"));
}

#[test]
fn mistakes_in_the_tables_fail_the_build() {
    for (name, table, from, to) in [
        ("masks.toml", 3, "/proc/cmdline", "/sys/cmdline"),
        ("masks.toml", 3, "/proc/cmdline", "/proc/zzz"),
        ("masks.toml", 3, "/proc/cmdline", "/proc/a/../b"),
        ("devices.toml", 1, "name = \"full\"", "name = \"../full\""),
        ("devices.toml", 1, "name = \"full\"", "name = \"null\""),
        ("capabilities.toml", 0, "number = 7", "number = 8"),
        ("capabilities.toml", 0, "keep = true", "keep = 1"),
        ("egress.toml", 2, "10.0.0.0/8", "10.0.0.1/8"),
        ("egress.toml", 2, "10.0.0.0/8", "10.0.0.0/33"),
        ("egress.toml", 2, "port = 587", "port = 25"),
        ("egress.toml", 2, "protocol = \"tcp\"", "protocol = \"tpc\""),
    ] {
        let (listed, parse) = tables::TABLES[table];
        assert_eq!(listed, name);
        let path = format!("{}/../../policy/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(parse(&text).is_ok());
        assert!(text.contains(from), "{name} no longer has {from:?}");
        assert!(
            parse(&text.replacen(from, to, 1)).is_err(),
            "{name}: {from} as {to}"
        );
    }
}

//! Starting the machine and hearing how it ended.

use crate::process::watched_for;
use crate::tally::Tally;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The machine's memory in MiB. Forty sandboxes at once take about 1 GiB of it.
const MEMORY_MIB: &str = "3072";
/// Its processors, each a thread of the emulator.
const PROCESSORS: &str = "2";
/// Words for its Linux: end at once at a panic, and panic, so that it is seen where, when it has been going round in
/// one place for a minute; say little; spend no time on the weaknesses of a processor that is emulated.
const LINUX_WORDS: &str =
    "console=ttyS0 panic=-1 softlockup_panic=1 watchdog_thresh=30 quiet mitigations=off";

/// How the machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Every test passed.
    Well,
    /// Its Linux stopped before it was through; what it said was passed on.
    Stopped,
}

/// Starts the machine in `directory`, passes on and counts what it prints, and ends it after
/// `limit`. Fails when a test did, or when it took too long.
pub(super) fn boot(directory: &Path, limit: Duration, tally: &mut Tally) -> Result<Ended, String> {
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let verdict = path("verdict");
    let _ = fs::remove_file(&verdict);
    let drive = format!(
        "file={},format=raw,if=virtio,snapshot=on,cache=unsafe",
        path("root.img")
    );
    let serial = format!("file:{verdict}");
    let (linux, initramfs) = (path("vmlinuz"), path("initramfs"));
    // It ends with this process, however that ends.
    let words = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "qemu-system-x86_64",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        PROCESSORS,
        "-m",
        MEMORY_MIB,
        "-display",
        "none",
        "-monitor",
        "none",
        "-nic",
        "none",
        "-no-reboot",
        "-chardev",
        "stdio,id=console",
        "-serial",
        "chardev:console",
        "-serial",
        &serial,
        "-drive",
        &drive,
        "-kernel",
        &linux,
        "-initrd",
        &initramfs,
        "-append",
        LINUX_WORDS,
    ];
    let ended = watched_for(limit, &words, |line| tally.read(line.trim_end()))?;
    let said = fs::read_to_string(&verdict).unwrap_or_default();
    match (said.trim(), ended) {
        ("0", true) => Ok(Ended::Well),
        ("", true) => Ok(Ended::Stopped),
        ("" | "0", false) => Err(format!(
            "the virtual machine failed or took more than {} s",
            limit.as_secs()
        )),
        (failed, _) => Err(format!(
            "{failed} test programs failed in the virtual machine"
        )),
    }
}

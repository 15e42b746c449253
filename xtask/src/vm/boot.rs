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
/// Words for its Linux: end at once at a panic, say little, spend no time on the weaknesses of a
/// processor that is emulated.
const LINUX_WORDS: &str = "console=ttyS0 panic=-1 quiet mitigations=off";

/// Starts the machine in `directory`, passes on and counts what it prints, and ends it after
/// `limit`. Fails unless the machine said that everything passed.
pub(super) fn boot(directory: &Path, limit: Duration, tally: &mut Tally) -> Result<(), String> {
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
    if !ended {
        return Err(format!(
            "the virtual machine failed or took more than {} s",
            limit.as_secs()
        ));
    }
    let said = fs::read_to_string(&verdict).unwrap_or_default();
    match said.trim() {
        "0" => Ok(()),
        "" => Err("the virtual machine ended without a verdict: its Linux stopped".to_owned()),
        failed => Err(format!(
            "{failed} test programs failed in the virtual machine"
        )),
    }
}

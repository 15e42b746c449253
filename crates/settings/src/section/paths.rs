//! Directories.

use crate::source::Host;
use crate::value::Accept;
use std::path::PathBuf;

section! {
    /// Directories. These settings stand at the top of `soulbox.toml`, outside of any section.
    "" Paths {
        /// Files that last: templates and whatever sandboxes keep on disk. As root
        /// `/var/lib/soulbox`, else `$XDG_DATA_HOME/soulbox`. The file system must not be
        /// mounted `noexec` or `nodev`.
        data_dir: PathBuf = Host::data_dir, Accept::any();
        /// Sockets, locks and journals of one engine; gone when the machine stops. As root
        /// `/run/soulbox`, else `$XDG_RUNTIME_DIR/soulbox`.
        run_dir: PathBuf = Host::run_dir, Accept::any();
        /// Where all engines of the machine agree on who holds which range of ids, subnet and
        /// name. All engines must use the same directory, or their sandboxes collide.
        machine_dir: PathBuf = |host: &Host| host.run_dir().join("machine"), Accept::any();
    }
}

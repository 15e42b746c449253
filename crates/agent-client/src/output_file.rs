//! Files for the output of recorded commands: the host's own, in memory, of a length that nobody
//! can change. Whoever has the descriptor inside may write anything into one, and no more than
//! that: `docs/decisions/0011-commands.md` has why.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use soulbox_wire::commands::{
    OUTPUT_HEAD, OUTPUT_NUMBERS, OutputSize, output_length, output_room, read_sizes,
};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutputFileError {
    /// Linux refused to make or look at one.
    #[error("cannot {0} a file for output")]
    Linux(&'static str, #[source] Errno),
    /// What the agent handed over is no file for output, or could still change its length.
    #[error("the agent handed over a descriptor that is no file for output")]
    Foreign,
}

/// Which output of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputStream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl OutputStream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    const fn index(self) -> u64 {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}

/// A file for both outputs of a command.
#[derive(Debug)]
pub struct OutputFile {
    file: OwnedFd,
    /// How many bytes of each output it has room for, which says where standard error begins.
    room: u64,
    /// The most bytes of each output that are read.
    most: u64,
}

/// What keeps a file's length as it is, and these seals themselves.
const SEALS: SealFlags = SealFlags::GROW
    .union(SealFlags::SHRINK)
    .union(SealFlags::SEAL);

impl OutputFile {
    /// Makes one in which each output keeps `most` bytes. Its pages count as the memory of whoever
    /// writes them.
    ///
    /// # Errors
    /// [`OutputFileError::Linux`].
    pub fn new(most: u64) -> Result<Self, OutputFileError> {
        let linux = |what| move |errno| OutputFileError::Linux(what, errno);
        let flags = MemfdFlags::CLOEXEC;
        let file = rustix::fs::memfd_create("soulbox-output", flags | MemfdFlags::NOEXEC_SEAL);
        let file = match file {
            // Before Linux 6.3 none could be sealed against being a program.
            Err(Errno::INVAL) => {
                rustix::fs::memfd_create("soulbox-output", flags | MemfdFlags::ALLOW_SEALING)
            }
            other => other,
        };
        let file = file.map_err(linux("make"))?;
        rustix::fs::ftruncate(&file, output_length(most)).map_err(linux("size"))?;
        rustix::fs::fcntl_add_seals(&file, SEALS).map_err(linux("seal"))?;
        Ok(Self {
            file,
            room: most,
            most,
        })
    }

    /// Takes back one that an agent had. At most `most` bytes of each output are read of it.
    ///
    /// # Errors
    /// [`OutputFileError::Foreign`] when it is anything else.
    pub fn adopt(file: OwnedFd, most: u64) -> Result<Self, OutputFileError> {
        // Only files in memory have seals: reading one waits for nobody.
        let seals = rustix::fs::fcntl_get_seals(&file).map_err(|_| OutputFileError::Foreign)?;
        let stat = rustix::fs::fstat(&file).map_err(|_| OutputFileError::Foreign)?;
        let length = u64::try_from(stat.st_size).unwrap_or(0);
        if !seals.contains(SEALS) || length < OUTPUT_HEAD {
            return Err(OutputFileError::Foreign);
        }
        Ok(Self {
            file,
            room: output_room(length),
            // It was made by a server that may have been set to keep more than this one.
            most,
        })
    }

    /// How much of each output there is. What stands there is the word of the sandbox.
    #[must_use]
    pub fn sizes(&self) -> [OutputSize; 2] {
        let mut head = [0; OUTPUT_NUMBERS];
        match rustix::io::pread(&self.file, &mut head, 0) {
            Ok(OUTPUT_NUMBERS) => read_sizes(head, self.room.min(self.most)),
            _ => Default::default(),
        }
    }

    /// How much of one output there is.
    #[must_use]
    pub fn size(&self, stream: OutputStream) -> OutputSize {
        let [stdout, stderr] = self.sizes();
        match stream {
            OutputStream::Stdout => stdout,
            OutputStream::Stderr => stderr,
        }
    }

    /// Reads of one output what is kept from `offset` on, at most `limit` bytes.
    ///
    /// # Errors
    /// [`OutputFileError::Linux`].
    pub fn read(
        &self,
        stream: OutputStream,
        offset: u64,
        limit: usize,
    ) -> Result<Vec<u8>, OutputFileError> {
        let left = self.size(stream).kept.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(limit);
        if length == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; length];
        let begin = OUTPUT_HEAD + self.room * stream.index() + offset;
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..)
            && !rest.is_empty()
        {
            match rustix::io::pread(&self.file, rest, begin + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(OutputFileError::Linux("read", errno)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

impl AsFd for OutputFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_wire::commands::write_sizes;

    fn write(file: &OutputFile, bytes: &[u8], at: u64) -> Result<usize, Errno> {
        rustix::io::pwrite(file, bytes, at)
    }

    #[test]
    fn nobody_makes_it_longer_or_shorter() {
        let file = OutputFile::new(8).unwrap();
        let end = output_length(8);
        assert_eq!(write(&file, b"123", end - 3), Ok(3));
        assert_eq!(write(&file, b"12345", end - 3), Err(Errno::PERM));
        assert_eq!(write(&file, b"x", end), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&file, end + 1), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&file, 0), Err(Errno::PERM));
        let flags = rustix::fs::FallocateFlags::empty();
        assert_eq!(
            rustix::fs::fallocate(&file, flags, end, 4096),
            Err(Errno::PERM)
        );
    }

    #[test]
    fn what_is_kept_is_read_from_any_offset() {
        let file = OutputFile::new(8).unwrap();
        let size = |kept, total| OutputSize { kept, total };
        write(&file, b"abcdefgh", OUTPUT_HEAD).unwrap();
        write(&file, b"error", OUTPUT_HEAD + 8).unwrap();
        write(&file, &write_sizes([size(8, 20), size(5, 5)]), 0).unwrap();
        assert_eq!(file.sizes(), [size(8, 20), size(5, 5)]);
        let read = |stream, offset, limit| file.read(stream, offset, limit).unwrap();
        assert_eq!(read(OutputStream::Stdout, 2, 3), b"cde");
        assert_eq!(read(OutputStream::Stdout, 8, 3), b"");
        assert_eq!(read(OutputStream::Stderr, 1, 100), b"rror");
        assert_eq!(read(OutputStream::Stderr, u64::MAX, 100), b"");
    }

    #[test]
    fn only_files_of_ours_are_taken_back() {
        let file = OutputFile::new(8).unwrap();
        let again = rustix::io::dup(&file).unwrap();
        let numbers = write_sizes([OutputSize { kept: 8, total: 8 }; 2]);
        write(&file, &numbers, 0).unwrap();
        write(&file, b"12345678abcdefgh", OUTPUT_HEAD).unwrap();
        let smaller = OutputFile::adopt(again, 7).unwrap();
        let read = smaller.read(OutputStream::Stderr, 0, 100).unwrap();
        assert_eq!(read, b"abcdefg");
        let growing = rustix::fs::memfd_create("x", MemfdFlags::ALLOW_SEALING).unwrap();
        assert!(OutputFile::adopt(growing, 8).is_err());
        let (pipe, _writer) = rustix::pipe::pipe().unwrap();
        assert!(OutputFile::adopt(pipe, 8).is_err());
        let null = std::fs::File::open("/dev/zero").unwrap();
        assert!(OutputFile::adopt(null.into(), 8).is_err());
    }
}

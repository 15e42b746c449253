//! What the spawner listens to.

use rustix::event::epoll;

/// What a descriptor of the poll set belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The channel to the engine.
    Engine,
    /// The socket at which engines connect.
    Listener,
    /// The timer of the deadlines.
    Timer,
    /// The channel to a slot's child.
    Child(u32),
    /// A slot's ready pipe.
    Ready(u32),
    /// A slot's first process.
    End(u32),
    /// The channel to a slot's zygote.
    Broker(u32),
}

impl Source {
    /// As Linux keeps it beside the descriptor.
    pub(super) fn pack(self) -> epoll::EventData {
        let (slot, kind) = match self {
            Self::Engine => (0, 0),
            Self::Listener => (0, 4),
            Self::Timer => (0, 5),
            Self::Child(slot) => (slot, 1),
            Self::Ready(slot) => (slot, 2),
            Self::End(slot) => (slot, 3),
            Self::Broker(slot) => (slot, 6),
        };
        epoll::EventData::new_u64(u64::from(slot) << 3 | kind)
    }

    /// The reverse of [`Source::pack`].
    pub(super) fn unpack(data: epoll::EventData) -> Self {
        let packed = data.u64();
        let slot = u32::try_from(packed >> 3).unwrap_or(u32::MAX);
        match packed & 7 {
            0 => Self::Engine,
            1 => Self::Child(slot),
            2 => Self::Ready(slot),
            4 => Self::Listener,
            5 => Self::Timer,
            6 => Self::Broker(slot),
            _ => Self::End(slot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_survives_its_packing() {
        for source in [
            Source::Engine,
            Source::Listener,
            Source::Timer,
            Source::Child(1),
            Source::Ready(4095),
            Source::End(u32::MAX),
            Source::Broker(9),
        ] {
            assert_eq!(Source::unpack(source.pack()), source);
        }
    }
}

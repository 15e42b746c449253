//! Bytes of a stream socket, with descriptors beside them.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{IoSlice, IoSliceMut, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::mem::MaybeUninit;

/// Descriptors that are taken in by one [`receive`]; Linux drops what comes beyond.
const AT_ONCE: usize = 8;

/// Sends some of `bytes`, with a descriptor beside the first of them; says how many.
///
/// # Errors
/// Linux's own, see sendmsg(2). No signal comes when the other side is gone.
pub fn send(socket: impl AsFd, bytes: &[u8], beside: Option<BorrowedFd<'_>>) -> Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = beside.map(|fd| [fd]);
    if let Some(descriptors) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
}

/// Receives bytes and what came beside them, which is closed on exec; says how many bytes. Never
/// takes a descriptor in before the byte that it was sent with.
///
/// # Errors
/// Linux's own, see recvmsg(2).
pub fn receive(
    socket: impl AsFd,
    bytes: &mut [u8],
    beside: &mut impl Extend<OwnedFd>,
) -> Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            beside.extend(descriptors);
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_descriptor_comes_with_its_byte() {
        let (here, there) = UnixStream::pair().unwrap();
        let (probe, _other) = UnixStream::pair().unwrap();
        assert_eq!(send(&here, b"one", None), Ok(3));
        assert_eq!(send(&here, b"two", Some(probe.as_fd())), Ok(3));
        let (mut bytes, mut beside) = ([0; 64], Vec::new());
        let first = receive(&there, &mut bytes, &mut beside).unwrap();
        if first == 3 {
            assert!(beside.is_empty(), "it came before its byte");
            receive(&there, &mut bytes, &mut beside).unwrap();
        }
        assert_eq!(beside.len(), 1);
        drop(here);
        assert_eq!(receive(&there, &mut bytes, &mut beside), Ok(0));
    }
}

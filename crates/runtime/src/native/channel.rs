//! Packets with descriptors over a `SOCK_SEQPACKET` socket.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use soulbox_wire::spawner::{MAX_DESCRIPTORS, MAX_PACKET};
use std::cell::RefCell;
use std::mem::MaybeUninit;

/// A packet that could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Linux refused.
    #[error("cannot exchange a packet with the other process")]
    Linux(#[from] Errno),
    /// The other side has closed.
    #[error("the other process has closed the connection")]
    Closed,
    /// The packet is no message that this side knows.
    #[error("the other process sent a packet that is no known message")]
    Malformed(#[source] serde_json::Error),
    /// The message or its descriptors do not fit into a packet.
    #[error("a message of {bytes} bytes with {descriptors} descriptors does not fit a packet")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// Its descriptors.
        descriptors: usize,
    },
}

/// Makes a connected pair of packet sockets, both closed on exec.
///
/// # Errors
/// Linux's own, see socketpair(2).
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
}

/// Sends one message with its descriptors.
///
/// # Errors
/// [`ChannelError::TooLarge`] before anything is sent; [`ChannelError::Linux`] with
/// `AGAIN` when the socket does not block and is full.
pub fn send<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), ChannelError> {
    let packet = serde_json::to_vec(message).map_err(ChannelError::Malformed)?;
    if packet.len() > MAX_PACKET || descriptors.len() > MAX_DESCRIPTORS {
        return Err(ChannelError::TooLarge {
            bytes: packet.len(),
            descriptors: descriptors.len(),
        });
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    loop {
        match sendmsg(
            &socket,
            &[IoSlice::new(&packet)],
            &mut control,
            SendFlags::NOSIGNAL,
        ) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => return Err(ChannelError::Closed),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Receives one message with its descriptors.
///
/// # Errors
/// [`ChannelError::Closed`] at the end; [`ChannelError::Linux`] with `AGAIN` when the socket
/// does not block and is empty.
pub fn receive<T: DeserializeOwned>(socket: impl AsFd) -> Result<(T, Vec<OwnedFd>), ChannelError> {
    PACKET.with_borrow_mut(|packet| {
        packet.resize(MAX_PACKET, 0);
        receive_into(socket, packet)
    })
}

thread_local! {
    /// Where packets are received. Kept, because Linux would have to make and clear it anew for
    /// each packet: musl gives memory of this size back at once.
    static PACKET: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn receive_into<T: DeserializeOwned>(
    socket: impl AsFd,
    packet: &mut [u8],
) -> Result<(T, Vec<OwnedFd>), ChannelError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(packet)];
        match recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Err(ChannelError::Closed),
            Err(errno) => return Err(errno.into()),
        }
    };
    let descriptors = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    if received.bytes == 0 {
        return Err(ChannelError::Closed);
    }
    let bytes = packet.get(..received.bytes).unwrap_or_default();
    let message = serde_json::from_slice(bytes).map_err(ChannelError::Malformed)?;
    Ok((message, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_wire::spawner::{Event, Request};

    #[test]
    fn messages_keep_their_descriptors() {
        let (here, there) = pair().unwrap();
        let (probe, _other) = pair().unwrap();
        send(&here, &Request::Destroy { slot: 7 }, &[probe.as_fd()]).unwrap();
        let (message, descriptors) = receive::<Request>(&there).unwrap();
        assert_eq!(message, Request::Destroy { slot: 7 });
        assert_eq!(descriptors.len(), 1);
    }

    #[test]
    fn a_closed_side_is_told() {
        let (here, there) = pair().unwrap();
        drop(there);
        assert!(matches!(receive::<Event>(&here), Err(ChannelError::Closed)));
        let sent = send(&here, &Request::Destroy { slot: 1 }, &[]);
        assert!(matches!(sent, Err(ChannelError::Closed)));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let (here, there) = pair().unwrap();
        rustix::io::write(&here, b"{\"unheard_of\":{}}").unwrap();
        assert!(matches!(
            receive::<Request>(&there),
            Err(ChannelError::Malformed(_))
        ));
    }
}

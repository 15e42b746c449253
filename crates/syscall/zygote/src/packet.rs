//! A packet from the broker and the descriptors beside it, and what is sent.

use crate::call::{self, Errno};
use crate::message::{MAX_DESCRIPTORS, MAX_REQUEST, NAMESPACES, Received, Reply};
use crate::number;

/// `SOL_SOCKET`, in a control message's second word, low half.
const SOCKET_LEVEL: u64 = 1;
/// `SCM_RIGHTS`, in the high half.
const RIGHTS: u64 = 1;
/// `SCM_CREDENTIALS`.
const CREDENTIALS: u64 = 2;

/// Bytes before a control message's data: its length, level and type.
const HEAD: usize = 16;

/// Words for one control message with all descriptors that a request can have. Linux gives those of
/// a packet in one message.
const CONTROL: usize = (HEAD + 4 * MAX_DESCRIPTORS) / 8 + 1;

/// A packet's memory.
#[derive(Debug)]
pub struct Packet {
    bytes: [u8; MAX_REQUEST + 1],
    length: usize,
    descriptors: [i32; MAX_DESCRIPTORS],
    count: usize,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// A packet, whole.
    Packet,
    /// The broker has closed the socket.
    End,
}

impl Packet {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; MAX_REQUEST + 1],
            length: 0,
            descriptors: [-1; MAX_DESCRIPTORS],
            count: 0,
        }
    }

    /// Waits for the next packet and takes it in, descriptors included, which are closed by
    /// [`release`](Self::release).
    ///
    /// # Errors
    /// Linux's own, see recvmsg(2); `EBADMSG` for a packet that was cut off.
    pub fn receive(&mut self, socket: i32) -> call::Result<Arrival> {
        let mut control = [0_u64; CONTROL];
        self.length = 0;
        let received = loop {
            match call::receive(socket, &mut self.bytes, &mut control) {
                Err(Errno(number::EINTR)) => {}
                other => break other?,
            }
        };
        self.take_descriptors(&control, received.control);
        if received.bytes == 0 && self.count == 0 {
            return Ok(Arrival::End);
        }
        if received.cut {
            return Err(Errno(number::EBADMSG));
        }
        self.length = received.bytes;
        Ok(Arrival::Packet)
    }

    fn take_descriptors(&mut self, control: &[u64; CONTROL], length: usize) {
        self.count = 0;
        let said = usize::try_from(control[0]).unwrap_or(0).min(length);
        if said < HEAD || control[1] != SOCKET_LEVEL | (RIGHTS << 32) {
            return;
        }
        let words = control.get(2..).unwrap_or_default();
        let numbers = words.iter().flat_map(|word| halves(*word));
        for number in numbers.take((said - HEAD) / 4) {
            if let Some(place) = self.descriptors.get_mut(self.count) {
                *place = number;
                self.count += 1;
            }
        }
    }

    /// The request, if it is one and has the descriptors that it says.
    #[must_use]
    pub fn request(&self) -> Option<Request<'_>> {
        let received = Received::decode(self.bytes.get(..self.length)?)?;
        let descriptors = self.descriptors.get(..self.count)?;
        let (first, rest) = descriptors.split_first()?;
        let (namespaces, rest) = rest.split_first_chunk()?;
        let (control, entrances) = rest.split_last()?;
        (entrances.len() == received.entrances()).then_some(Request {
            received,
            first: *first,
            namespaces,
            entrances,
            control: *control,
        })
    }

    /// The id that the packet names, be it a request or not.
    #[must_use]
    pub fn id(&self) -> u64 {
        let bytes = self.bytes.get(8..16).filter(|_| self.length >= 16);
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    }

    /// Closes the descriptors that came.
    pub fn release(&mut self) {
        for descriptor in self.descriptors.iter().take(self.count) {
            call::close(*descriptor);
        }
        self.count = 0;
    }
}

impl Default for Packet {
    fn default() -> Self {
        Self::new()
    }
}

/// The two numbers that lie in a word.
fn halves(word: u64) -> [i32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    [[a, b, c, d], [e, f, g, h]].map(i32::from_ne_bytes)
}

/// A request with its descriptors.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What is asked.
    pub received: Received<'a>,
    /// The sandbox's first process.
    pub first: i32,
    /// The sandbox's namespaces, in the order of [`NAMESPACES`].
    pub namespaces: &'a [i32; NAMESPACES.len()],
    /// The sandbox's cgroups' entrances.
    pub entrances: &'a [i32],
    /// The process's control socket.
    pub control: i32,
}

/// Sends a reply. Nothing can be done when it does not arrive: the broker has gone, or does not
/// listen and hears of the process by its control socket.
pub fn reply(socket: i32, reply: &Reply) {
    let _ = call::send(socket, &reply.encode(), &mut []);
}

/// Tells the other side of a new process's control socket who it is: one frame, four bytes of
/// length (big-endian) and `{"type":"joined","pid":N}`, with the process's credentials beside it,
/// which Linux checks.
pub fn greet(socket: i32, pid: i32, uid: u32, gid: u32) {
    const BEFORE: &[u8] = b"{\"type\":\"joined\",\"pid\":";
    let mut frame = [0_u8; 4 + BEFORE.len() + 11];
    let mut length = 4;
    let mut push = |byte: u8| {
        if let Some(place) = frame.get_mut(length) {
            *place = byte;
            length += 1;
        }
    };
    BEFORE.iter().for_each(|byte| push(*byte));
    let mut digit = 1_000_000_000;
    let mut started = false;
    while digit > 0 {
        let value = pid / digit % 10;
        started |= value != 0 || digit == 1;
        if started {
            push(b'0' + u8::try_from(value).unwrap_or(0));
        }
        digit /= 10;
    }
    push(b'}');
    if let Some(last) = u8::try_from(length - 4).ok().filter(|_| frame.len() > 3) {
        frame[3] = last;
    }
    let ids = |low: u32, high: u32| u64::from(low) | (u64::from(high) << 32);
    let mut control = [
        HEAD as u64 + 12,
        SOCKET_LEVEL | (CREDENTIALS << 32),
        ids(pid.cast_unsigned(), uid),
        ids(gid, 0),
    ];
    let _ = call::send(
        socket,
        frame.get(..length).unwrap_or_default(),
        &mut control,
    );
}

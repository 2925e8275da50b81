//! Datagrams by the batch: the calls of Linux that the standard library does not have.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use crate::Outcome;

/// A socket that does not block, with a queue of 8 MiB, whatever the system allows to others.
pub fn socket(address: SocketAddrV4) -> Outcome<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    let octets = 8 << 20;
    set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, octets)
        .or_else(|_| set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, octets))?;
    Ok(socket)
}

pub fn set(socket: &impl AsRawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let length = mem::size_of::<i32>() as libc::socklen_t;
    let value = ptr::from_ref(&value).cast();
    // SAFETY: the value outlives the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, length) })?;
    Ok(())
}

/// Datagrams that found the socket's queue full, so far.
pub fn dropped(socket: &UdpSocket) -> io::Result<u64> {
    /// Its place in what `SO_MEMINFO` tells.
    const DROPS: usize = 8;
    let mut told = [0_u32; 9];
    let mut length = mem::size_of_val(&told) as libc::socklen_t;
    // SAFETY: there is room for as much as the length says.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            told.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    Ok(told[DROPS].into())
}

pub fn check(returned: i32) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

/// None when there is nothing to be had, or no room, now.
pub fn unless_blocked<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn to_raw(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: to_raw_ip(*address.ip()),
        sin_zero: [0; 8],
    }
}

pub fn from_raw(raw: &libc::sockaddr_in) -> SocketAddrV4 {
    let ip = Ipv4Addr::from_bits(u32::from_be(raw.sin_addr.s_addr));
    SocketAddrV4::new(ip, u16::from_be(raw.sin_port))
}

fn to_raw_ip(ip: Ipv4Addr) -> libc::in_addr {
    libc::in_addr {
        s_addr: ip.to_bits().to_be(),
    }
}

/// Room for the two things that are said beside a datagram: an address of ours, and the length of its segments.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct Control([u8; 64]);

impl Control {
    pub const EMPTY: Self = Self([0; 64]);

    /// What it is to say, and how long that is.
    pub fn new(from: Option<Ipv4Addr>, segment: Option<u16>) -> (Self, usize) {
        let mut control = Self::EMPTY;
        let mut length = 0;
        if let Some(ip) = from {
            let told = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: to_raw_ip(ip),
                ipi_addr: to_raw_ip(ip),
            };
            length += control.put(length, libc::IPPROTO_IP, libc::IP_PKTINFO, told);
        }
        if let Some(segment) = segment {
            length += control.put(length, libc::SOL_UDP, libc::UDP_SEGMENT, segment);
        }
        (control, length)
    }

    fn put<T>(&mut self, at: usize, level: i32, kind: i32, value: T) -> usize {
        let size = mem::size_of::<T>() as u32;
        // SAFETY: both kinds together are shorter than the room, which is aligned as the header needs it.
        unsafe {
            let header = self.0.as_mut_ptr().add(at).cast::<libc::cmsghdr>();
            (*header).cmsg_len = libc::CMSG_LEN(size) as usize;
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
            libc::CMSG_SPACE(size) as usize
        }
    }
}

/// Finds what was said beside a datagram.
pub fn said<T: Copy>(header: &libc::msghdr, level: i32, kind: i32) -> Option<T> {
    // SAFETY: the kernel has written what the header says, and headers are followed by values of their kind.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(header);
        while !at.is_null() {
            if (*at).cmsg_level == level && (*at).cmsg_type == kind {
                return Some(libc::CMSG_DATA(at).cast::<T>().read_unaligned());
            }
            at = libc::CMSG_NXTHDR(header, at);
        }
    }
    None
}

/// Sends the messages, as many as the socket takes: how many.
pub fn send_batch(socket: RawFd, messages: &mut [libc::mmsghdr]) -> io::Result<usize> {
    // SAFETY: whoever made the headers keeps what they point at.
    let sent = check(unsafe {
        libc::sendmmsg(
            socket,
            messages.as_mut_ptr(),
            messages.len() as u32,
            libc::MSG_DONTWAIT,
        )
    });
    Ok(unless_blocked(sent)?.unwrap_or(0))
}

/// Reads as many messages as there are, or as there is room for: how many.
pub fn read_batch(socket: RawFd, messages: &mut [libc::mmsghdr], flags: i32) -> io::Result<usize> {
    // SAFETY: whoever made the headers keeps what they point at.
    let read = check(unsafe {
        libc::recvmmsg(
            socket,
            messages.as_mut_ptr(),
            messages.len() as u32,
            flags | libc::MSG_DONTWAIT,
            ptr::null_mut(),
        )
    });
    Ok(unless_blocked(read)?.unwrap_or(0))
}

pub const fn no_message() -> libc::mmsghdr {
    // SAFETY: zeros are a header that points nowhere.
    unsafe { mem::zeroed() }
}

/// One datagram: its length, where it came from, and which of our addresses it went to (when the socket tells).
pub fn read_one(
    socket: &UdpSocket,
    octets: &mut [u8],
) -> io::Result<Option<(usize, SocketAddrV4, Ipv4Addr)>> {
    let mut from = to_raw(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    let mut control = Control::EMPTY;
    let mut part = libc::iovec {
        iov_base: octets.as_mut_ptr().cast(),
        iov_len: octets.len(),
    };
    let mut messages = [no_message()];
    let header = &mut messages[0].msg_hdr;
    header.msg_name = (&raw mut from).cast();
    header.msg_namelen = mem::size_of_val(&from) as u32;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = mem::size_of_val(&control);
    if read_batch(socket.as_raw_fd(), &mut messages, 0)? == 0 {
        return Ok(None);
    }
    let told = said::<libc::in_pktinfo>(&messages[0].msg_hdr, libc::IPPROTO_IP, libc::IP_PKTINFO);
    let to = told.map_or(Ipv4Addr::UNSPECIFIED, |told| {
        Ipv4Addr::from_bits(u32::from_be(told.ipi_addr.s_addr))
    });
    Ok(Some((messages[0].msg_len as usize, from_raw(&from), to)))
}

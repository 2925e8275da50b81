//! Datagrams for several clients in one call of the system, where it has one.

#[cfg(target_os = "linux")]
pub(super) use linux::Many;
#[cfg(not(target_os = "linux"))]
pub(super) use one_by_one::Many;

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSlice};
    use std::net::{IpAddr, SocketAddr};

    use nix::errno::Errno;
    use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
    use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};

    use crate::turn::outgoing::{Batch, Lost};
    use crate::turn::socket::Socket;

    /// Datagrams in one call.
    const WIDTH: usize = 64;

    /// What the calls need, made once: headers without a source, with one of IPv4, of IPv6.
    pub(in crate::turn) struct Many {
        plain: MultiHeaders<SockaddrStorage>,
        from_v4: MultiHeaders<SockaddrStorage>,
        from_v6: MultiHeaders<SockaddrStorage>,
    }

    impl Many {
        pub(in crate::turn) fn new() -> Self {
            Self {
                plain: MultiHeaders::preallocate(WIDTH, None),
                from_v4: MultiHeaders::preallocate(WIDTH, Some(nix::cmsg_space!(in_pktinfo))),
                from_v6: MultiHeaders::preallocate(WIDTH, Some(nix::cmsg_space!(in6_pktinfo))),
            }
        }

        /// Sends single datagrams that all leave by this socket, from the same address.
        pub(in crate::turn) fn send<'a>(
            &mut self,
            socket: &Socket,
            batches: impl Iterator<Item = &'a Batch>,
            lost: &mut Lost,
        ) {
            let mut addresses = [None; WIDTH];
            let mut slices = [[IoSlice::new(&[])]; WIDTH];
            let mut destinations = [SocketAddr::from(([0; 4], 0)); WIDTH];
            let mut source = None;
            let mut count = 0;
            for (index, batch) in batches.take(WIDTH).enumerate() {
                addresses[index] = Some(SockaddrStorage::from(batch.way.destination));
                slices[index] = [IoSlice::new(&batch.octets)];
                destinations[index] = batch.way.destination;
                source = batch.way.source;
                count = index + 1;
            }
            let mut sent = 0;
            while sent < count {
                let range = sent..count;
                let outcome =
                    self.send_from(socket, source, &slices[range.clone()], &addresses[range]);
                sent += match outcome {
                    Ok(more) => more.max(1),
                    Err(Errno::EINTR) => 0,
                    Err(Errno::EAGAIN) => {
                        lost.full += (count - sent) as u64;
                        return;
                    }
                    Err(error) => {
                        lost.count(&io::Error::from(error), 1, destinations[sent]);
                        1
                    }
                };
            }
        }

        fn send_from<'a>(
            &'a mut self,
            socket: &Socket,
            source: Option<IpAddr>,
            slices: &'a [[IoSlice<'a>; 1]],
            addresses: &'a [Option<SockaddrStorage>],
        ) -> nix::Result<usize> {
            let fd = socket.as_raw_fd();
            let flags = MsgFlags::empty();
            let sent = match source {
                None => sendmmsg(fd, &mut self.plain, slices, addresses, [], flags)?.count(),
                Some(IpAddr::V4(ip)) => {
                    let info = in_pktinfo {
                        ipi_ifindex: 0,
                        ipi_spec_dst: in_addr {
                            s_addr: u32::from_ne_bytes(ip.octets()),
                        },
                        ipi_addr: in_addr { s_addr: 0 },
                    };
                    let control = [ControlMessage::Ipv4PacketInfo(&info)];
                    sendmmsg(fd, &mut self.from_v4, slices, addresses, control, flags)?.count()
                }
                Some(IpAddr::V6(ip)) => {
                    let info = in6_pktinfo {
                        ipi6_ifindex: 0,
                        ipi6_addr: in6_addr {
                            s6_addr: ip.octets(),
                        },
                    };
                    let control = [ControlMessage::Ipv6PacketInfo(&info)];
                    sendmmsg(fd, &mut self.from_v6, slices, addresses, control, flags)?.count()
                }
            };
            Ok(sent)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod one_by_one {
    use crate::turn::outgoing::{Batch, Lost};
    use crate::turn::socket::Socket;

    pub(in crate::turn) struct Many;

    impl Many {
        pub(in crate::turn) fn new() -> Self {
            Self
        }

        pub(in crate::turn) fn send<'a>(
            &mut self,
            socket: &Socket,
            batches: impl Iterator<Item = &'a Batch>,
            lost: &mut Lost,
        ) {
            batches.for_each(|batch| batch.send(socket, lost));
        }
    }
}

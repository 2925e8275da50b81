//! Two WebRTC stacks joined by a simulated path, with `n` ordered reliable channels between them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::path::{Conditions, Path};

/// A message that arrived at one end.
pub struct Arrival {
    pub at_sender: bool,
    pub channel: usize,
    pub data: Vec<u8>,
}

struct End {
    rtc: Rtc,
    addr: SocketAddr,
    timeout: Instant,
    channels: Vec<ChannelId>,
    open: usize,
}

/// The *sender* serves bodies, the *receiver* asks for them.
pub struct Pair {
    pub now: Instant,
    ends: [End; 2],
    /// Path towards end 0 and towards end 1.
    paths: [Path; 2],
    arrivals: Vec<Arrival>,
}

impl Pair {
    pub fn connect(channels: usize, buffer: usize, conditions: Conditions, seed: u64) -> Self {
        let now = Instant::now();
        let mut ends = [1u8, 2].map(|host| {
            let addr = SocketAddr::from((Ipv4Addr::new(192, 0, 2, host), 4000 + u16::from(host)));
            let mut rtc = RtcConfig::new().set_sctp_max_buffered_amount(buffer).build(now);
            rtc.add_local_candidate(Candidate::host(addr, "udp").expect("an address"));
            End { rtc, addr, timeout: now, channels: Vec::new(), open: 0 }
        });
        let candidates = ends.each_ref().map(|e| Candidate::host(e.addr, "udp").expect("an address"));
        let fingerprints = ends.each_mut().map(|e| e.rtc.direct_api().local_dtls_fingerprint().clone());
        let credentials = ends.each_mut().map(|e| e.rtc.direct_api().local_ice_credentials());
        for (i, end) in ends.iter_mut().enumerate() {
            let first = i == 0;
            end.rtc.add_remote_candidate(candidates[1 - i].clone());
            let mut api = end.rtc.direct_api();
            api.set_remote_fingerprint(fingerprints[1 - i].clone());
            api.set_remote_ice_credentials(credentials[1 - i].clone());
            api.set_ice_controlling(first);
            api.start_dtls(first).expect("a fresh stack");
            api.start_sctp(first);
            for n in 0..channels {
                end.channels.push(api.create_data_channel(ChannelConfig {
                    label: format!("c{n}"),
                    ordered: true,
                    reliability: Reliability::Reliable,
                    negotiated: Some(u16::try_from(n).expect("few channels")),
                    protocol: String::new(),
                }));
            }
        }
        let paths = [Path::new(conditions, seed, now), Path::new(conditions, seed ^ 0xA5A5, now)];
        let mut pair = Self { now, ends, paths, arrivals: Vec::new() };
        while pair.ends.iter().any(|e| e.open < channels) {
            pair.step();
            assert!(pair.now - now < Duration::from_secs(60), "the pair did not connect");
        }
        pair
    }

    /// Hands a message to the sender's (`true`) or receiver's stack; false when its buffer is full.
    pub fn send(&mut self, from_sender: bool, channel: usize, data: &[u8]) -> bool {
        let index = usize::from(!from_sender);
        let id = self.ends[index].channels[channel];
        let mut handle = self.ends[index].rtc.channel(id).expect("an open channel");
        let accepted = handle.write(true, data).expect("a working association");
        self.drain(index);
        accepted
    }

    /// Advances to the next thing that happens and returns the messages it brought.
    pub fn step(&mut self) -> Vec<Arrival> {
        let next = self.ends.iter().map(|e| e.timeout).chain(self.paths.iter().filter_map(Path::next_arrival)).min();
        self.now = next.expect("a stack always has a timeout").max(self.now);
        for index in 0..2 {
            while let Some(datagram) = self.paths[index].arrived(self.now) {
                let (from, to) = (self.ends[1 - index].addr, self.ends[index].addr);
                let receive = Receive::new(Protocol::Udp, from, to, &datagram).expect("our own datagram");
                self.ends[index].rtc.handle_input(Input::Receive(self.now, receive)).expect("a working stack");
                self.drain(index);
            }
            if self.ends[index].timeout <= self.now {
                self.ends[index].rtc.handle_input(Input::Timeout(self.now)).expect("a working stack");
                self.drain(index);
            }
        }
        std::mem::take(&mut self.arrivals)
    }

    fn drain(&mut self, index: usize) {
        loop {
            let end = &mut self.ends[index];
            match end.rtc.poll_output().expect("a working stack") {
                // A timeout of "now" again would never advance: the stack gets at least a microsecond.
                Output::Timeout(at) => break end.timeout = at.max(self.now + Duration::from_micros(1)),
                Output::Transmit(t) => self.paths[1 - index].send(t.contents.to_vec(), self.now),
                Output::Event(Event::ChannelOpen(..)) => end.open += 1,
                Output::Event(Event::ChannelData(data)) => {
                    let channel = end.channels.iter().position(|c| *c == data.id).expect("one of ours");
                    self.arrivals.push(Arrival { at_sender: index == 0, channel, data: data.data });
                }
                Output::Event(_) => {}
            }
        }
    }
}

//! A file that is sent.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use peerage_proto::{
    file::{Beginning, Sender},
    wire::file::{FileName, SIZE_MAX},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncSeekExt as _, BufReader},
    task::spawn_blocking,
};

use crate::{
    exit::{Exit, Failure},
    output,
};

/// Read from the disk at once.
const BUFFER: usize = 256 * 1024;

pub(super) struct Source {
    pub(super) path: PathBuf,
    /// What it is to be called.
    pub(super) name: FileName,
    /// As it was found.
    pub(super) size: u64,
    /// Octets that were read for the channel, over all connections.
    pub(super) sent: u64,
    file: BufReader<tokio::fs::File>,
}

impl Source {
    pub(super) fn open(path: &Path, name: Option<&str>) -> Result<Self, Failure> {
        let usage = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Usage, format_args!("{}: {error}", path.display()))
        };
        let file = File::open(path).map_err(|error| usage(&error))?;
        let about = file.metadata().map_err(|error| usage(&error))?;
        if !about.is_file() {
            return Err(usage(&"not a file; pack a folder into one first"));
        }
        if about.len() > SIZE_MAX {
            return Err(usage(&"too large"));
        }
        let own = path.file_name().and_then(|name| name.to_str());
        let name = name
            .or(own)
            .ok_or_else(|| usage(&"its name is no text: give it one with --as NAME"))?;
        let name = FileName::parse(name)
            .map_err(|error| usage(&format_args!("{error}: give it another one with --as NAME")))?;
        Ok(Self {
            path: path.to_owned(),
            name,
            size: about.len(),
            sent: 0,
            file: BufReader::with_capacity(BUFFER, tokio::fs::File::from_std(file)),
        })
    }

    /// The file's beginnings of these lengths, read once.
    pub(super) async fn beginnings(&self, lengths: Vec<u64>) -> io::Result<Vec<Beginning>> {
        // The same file, whatever has its name by now; reading goes on after a `seek`.
        let file = self.file.get_ref().try_clone().await?.into_std().await;
        let hashed = spawn_blocking(move || hash(file, &lengths));
        hashed.await.map_err(io::Error::other)?
    }

    pub(super) async fn seek(&mut self, to: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(to)).await.map(drop)
    }

    /// So many of the next octets.
    pub(super) async fn read(&mut self, length: usize) -> io::Result<Bytes> {
        let mut octets = BytesMut::zeroed(length);
        self.file.read_exact(&mut octets).await?;
        self.sent += length as u64;
        Ok(octets.freeze())
    }

    pub(super) fn cannot_read(&self, error: &io::Error, machine: &mut Sender) {
        output::warn(format_args!("{}: {error}", self.path.display()));
        machine.handle_failure(Instant::now());
    }
}

fn hash(mut file: File, lengths: &[u64]) -> io::Result<Vec<Beginning>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| lengths[index]);
    file.rewind()?;
    let mut beginnings = vec![Beginning::default(); lengths.len()];
    let mut so_far = Beginning::default();
    let mut buffer = vec![0; BUFFER];
    for index in order {
        while so_far.length() < lengths[index] {
            let wanted = (lengths[index] - so_far.length()).min(BUFFER as u64) as usize;
            match file.read(&mut buffer[..wanted])? {
                0 => break,
                read => so_far.push(&buffer[..read]),
            }
        }
        beginnings[index] = so_far.clone();
    }
    Ok(beginnings)
}

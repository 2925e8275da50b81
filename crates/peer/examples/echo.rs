//! A peer that says back what it hears, to stock PeerJS pages: `echo SERVER ID [--call PEER] [--serialization NAME]`.
//!
//! It waits for connections, or with `--call` makes one, sends `hello` on it, and echoes on that too; who says `close` is hung up on. Prints what happens, a line each.
#![allow(clippy::print_stdout)]

use std::error::Error;

use peerage_peer::{ConnectOptions, Connection, Peer, Serialization};
use peerage_proto::wire::id::PeerId;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(server), Some(id)) = (arguments.next(), arguments.next()) else {
        return Err("usage: echo SERVER ID [--call PEER] [--serialization NAME]".into());
    };
    let (mut call, mut options) = (None, ConnectOptions::default());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_default();
        match argument.as_str() {
            "--call" => call = Some(PeerId::parse(&value())?),
            "--serialization" => options.serialization = Serialization::from_name(&value()),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let builder = Peer::builder().server(server).id(PeerId::parse(&id)?);
    let peer = builder.allow_unverified(true).loopback(true).open().await?;
    println!("ready {}", peer.id());
    if let Some(other) = call {
        let connection = peer.connect(&other, options).await?;
        connection.send("hello").await?;
        tokio::spawn(echo(connection));
    }
    let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = end.recv() => break,
            incoming = peer.incoming() => match incoming {
                Some(connection) => drop(tokio::spawn(echo(connection))),
                None => break,
            },
        }
    }
    peer.destroy().await;
    Ok(())
}

async fn echo(connection: Connection) {
    println!(
        "open {} {}",
        connection.peer(),
        connection.serialization().name()
    );
    while let Some(received) = connection.recv().await {
        match received {
            Ok(value) if value.as_str() == Some("close") => connection.close(),
            Ok(value) => {
                if let Err(error) = connection.send(value).await {
                    println!("not sent: {error}");
                }
            }
            Err(error) => println!("not received: {error}"),
        }
    }
    println!(
        "closed {}: {}",
        connection.peer(),
        connection.closed().await
    );
}

//! A peer that says back what it hears, to stock PeerJS pages: `echo SERVER ID [--call PEER] [--json]`.
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
        return Err("usage: echo SERVER ID [--call PEER] [--json]".into());
    };
    let (mut call, mut serialization) = (None, Serialization::Raw);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--call" => call = Some(PeerId::parse(&arguments.next().unwrap_or_default())?),
            "--json" => serialization = Serialization::Json,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let builder = Peer::builder().server(server).id(PeerId::parse(&id)?);
    let peer = builder
        .allow_unverified(true)
        .loopback(true)
        .build()
        .await?;
    println!("ready {}", peer.id());
    if let Some(other) = call {
        let options = ConnectOptions {
            serialization,
            ..ConnectOptions::default()
        };
        let connection = peer.connect(&other, options).await?;
        match serialization {
            Serialization::Json => connection.send_json("hello").await?,
            _ => {
                connection
                    .send(peerage_peer::Message::Text("hello".into()))
                    .await?
            }
        }
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
    peer.close().await;
    Ok(())
}

async fn echo(mut connection: Connection) {
    println!(
        "open {} {}",
        connection.peer(),
        connection.serialization().name()
    );
    while let Some(message) = connection.recv().await {
        println!("message of {} octets", message.len());
        if message.as_bytes() == b"close" {
            connection.close();
            break;
        }
        if let Err(error) = connection.send(message).await {
            println!("not sent: {error}");
        }
    }
    println!(
        "closed {}: {}",
        connection.peer(),
        connection.closed().await
    );
}

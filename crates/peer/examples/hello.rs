//! Says hello to a page that calls, and prints what it answers: `hello [SERVER]`. In the page: `new Peer().connect('greeter').on('data', console.log)`.
#![allow(clippy::print_stdout)]

use peerage_peer::Peer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1);
    let server = server.unwrap_or_else(|| "http://localhost:9000".to_owned());
    let builder = Peer::builder().server(server).id("greeter".parse()?);
    let peer = builder.allow_unverified(true).open().await?;
    println!("ready {}", peer.id());
    while let Some(page) = peer.incoming().await {
        page.send("hello from Rust").await?;
        println!("{}: {:?}", page.peer(), page.recv().await);
    }
    Ok(())
}

use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use mainstay_core::Ratio;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

#[test]
fn a_filter_drops_by_address_and_by_share() {
    let filter = |share| Filter { at: Field::Destination, address: Ipv4Addr::new(198, 18, 0, 1), share };
    assert_eq!(
        filter(Ratio::ONE).program(),
        "4,32 0 0 4293918736,21 0 1 3323068417,6 0 0 2,6 0 0 4294967295",
        "the word at 16 of the network's header; is it the address; drop; else go on"
    );
    assert_eq!(
        filter(Ratio::percent(50)).program(),
        "6,32 0 0 4293918736,21 0 3 3323068417,32 0 0 4294963256,53 1 0 2147483648,6 0 0 2,6 0 0 4294967295",
        "and a random word under the share of all words"
    );
}

#[test]
fn a_link_is_known_by_the_name_of_its_namespace() {
    let link = Link::new(Identity { pid: 4_194_304, started: 77 }, 199, Ipv4Addr::UNSPECIFIED);
    assert_eq!(left(&link.namespace()), Some(link.clone()));
    assert!(link.device().len() <= 15, "{}", link.device());
    assert_eq!(left("mainstay-drill-notes"), None);
    assert_eq!(left("somebody-1-2-3"), None);
}

#[tokio::test]
async fn what_a_killed_driller_left_is_swept_and_nothing_else() {
    let Some(here) = made(0).await else { return };
    let mut ended = Command::new("true").spawn().unwrap();
    let driller = Identity { pid: ended.id(), started: 1 };
    ended.wait().unwrap();
    let gone = Link::new(driller, 0, free_part(driller).await.unwrap());
    gone.make().await.unwrap();
    assert!(sweep().await.contains(&gone.namespace()));
    assert!(!gone.is_there() && here.is_there());
    here.remove().await.unwrap();
}

/// A link of this process; none, with a message, where that cannot be.
async fn made(number: u32) -> Option<Link> {
    let driller = Identity::of(std::process::id()).unwrap();
    let link = match free_part(driller).await {
        Ok(part) => Link::new(driller, number, part),
        Err(why) => {
            skip(&why);
            return None;
        }
    };
    if let Err(why) = link.make().await {
        link.remove().await.unwrap();
        skip(&why);
        return None;
    }
    Some(link)
}

#[expect(clippy::print_stderr, reason = "who runs the tests is told of one that was not run")]
fn skip(why: &str) {
    eprintln!("skipped: no network namespace can be made here: {why}");
}

/// Answers each piece with itself, in the namespace of a link.
fn echo(link: &Link) -> u16 {
    let namespace = std::fs::File::open(link.file()).unwrap();
    let (told, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::os::fd::AsFd;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        told.send(listener.local_addr().unwrap().port()).unwrap();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut piece = [0; 64];
                while let Ok(length @ 1..) = stream.read(&mut piece) {
                    if stream.write_all(&piece[..length]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port.recv().unwrap()
}

const SOON: Duration = Duration::from_millis(500);

fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    Ok(stream)
}

/// What comes back for a word in a while, if anything.
fn said(stream: &mut TcpStream, word: &[u8]) -> Option<Vec<u8>> {
    stream.write_all(word).unwrap();
    let mut piece = [0; 64];
    let length = stream.read(&mut piece).ok()?;
    Some(piece[..length].to_vec())
}

#[tokio::test]
async fn a_link_is_cut_in_both_ways_or_one_and_the_drill_still_gets_through() {
    let Some(link) = made(1).await else { return };
    let port = echo(&link);
    let mut stands = connect(link.front(port)).unwrap();
    assert_eq!(said(&mut stands, b"one").unwrap(), b"one");
    for (there, back) in [(true, true), (true, false), (false, true)] {
        link.set(Ill::Cut { there, back, delivered: false }).await.unwrap();
        assert!(!link.is_well().await);
        assert!(connect(link.front(port)).is_err(), "the first packet of a connection, or its answer, is lost");
        assert_eq!(said(&mut stands, b"two"), None);
        let mut aside = connect(link.aside(port)).unwrap();
        assert_eq!(said(&mut aside, b"three").unwrap(), b"three");
        link.clear().await.unwrap();
        assert!(link.is_well().await);
        stands.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(stands.read(&mut [0; 64]).unwrap(), 3, "TCP sends it again");
        stands.set_read_timeout(Some(SOON)).unwrap();
    }
    link.remove().await.unwrap();
    assert!(!link.is_there());
    link.remove().await.unwrap();
    link.clear().await.unwrap();
}

#[tokio::test]
async fn a_link_that_loses_something_delivers_all_of_it_later() {
    let Some(link) = made(2).await else { return };
    let port = echo(&link);
    link.set(Ill::Lossy(Ratio::percent(10))).await.unwrap();
    let mut stream = loop {
        if let Ok(stream) = connect(link.front(port)) {
            break stream;
        }
    };
    // Eight losses in a row take 51 s to be made good, and come once in ten thousand of these plays.
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let began = Instant::now();
    for _ in 0..60 {
        assert_eq!(said(&mut stream, b"word").unwrap(), b"word");
    }
    assert!(began.elapsed() >= Duration::from_millis(150), "something was sent again");
    link.remove().await.unwrap();
}

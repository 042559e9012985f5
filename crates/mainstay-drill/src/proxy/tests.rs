use super::*;

/// An instance that answers each piece with itself, and a proxy before it.
async fn stage() -> (Proxy, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let instance = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut piece = [0; 1024];
                while let Ok(length @ 1..) = stream.read(&mut piece).await {
                    if stream.write_all(&piece[..length]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (Proxy::start(address, Seed::new(1)).await.unwrap(), instance)
}

/// What comes back for a word, or nothing within 300 ms.
async fn said(stream: &mut TcpStream, word: &[u8]) -> Option<Vec<u8>> {
    stream.write_all(word).await.ok()?;
    let mut piece = [0; 1024];
    let length = timeout(Duration::from_millis(300), stream.read(&mut piece)).await.ok()?.ok()?;
    Some(piece[..length].to_vec())
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

#[tokio::test]
async fn what_is_sent_comes_through_and_late_when_the_way_is_late() {
    let (proxy, _instance) = stage().await;
    let mut stream = connect(&proxy).await;
    assert_eq!(said(&mut stream, b"one").await.unwrap(), b"one");
    proxy.set(Some(Ill::Late(mainstay_core::Duration::from_millis(40))));
    let began = Instant::now();
    assert_eq!(said(&mut stream, b"two").await.unwrap(), b"two");
    assert!(began.elapsed() >= Duration::from_millis(80), "there and back");
    proxy.set(None);
    assert_eq!(said(&mut stream, b"three").await.unwrap(), b"three");
}

#[tokio::test]
async fn nothing_comes_through_a_cut_and_no_connection_comes_about() {
    let (proxy, _instance) = stage().await;
    let mut stream = connect(&proxy).await;
    let mut idle = connect(&proxy).await;
    assert_eq!(said(&mut idle, b"zero").await.unwrap(), b"zero");
    proxy.set(Some(Ill::Cut { there: true, back: true, delivered: false }));
    assert_eq!(said(&mut stream, b"one").await, None);
    // It takes a moment until the queue is full.
    tokio::time::sleep(FULL * 4).await;
    let new = timeout(Duration::from_millis(300), TcpStream::connect(proxy.address())).await;
    assert!(new.is_err(), "the first packet of a connection is left unanswered");
    proxy.set(None);
    assert_eq!(said(&mut stream, b"two").await, None, "what lost something stays lost");
    assert_eq!(said(&mut idle, b"three").await.unwrap(), b"three", "what lost nothing goes on");
    let mut new = timeout(Duration::from_secs(5), connect(&proxy)).await.unwrap();
    assert_eq!(said(&mut new, b"four").await.unwrap(), b"four");
}

#[tokio::test]
async fn a_cut_that_delivers_lets_everything_arrive_at_its_end() {
    let (proxy, _instance) = stage().await;
    let mut stream = connect(&proxy).await;
    assert_eq!(said(&mut stream, b"zero").await.unwrap(), b"zero");
    proxy.set(Some(Ill::Cut { there: true, back: false, delivered: true }));
    assert_eq!(said(&mut stream, b"one").await, None);
    proxy.set(None);
    let mut piece = [0; 16];
    let length = timeout(Duration::from_secs(5), stream.read(&mut piece)).await.unwrap().unwrap();
    assert_eq!(&piece[..length], b"one");
}

#[tokio::test]
async fn a_way_resets_stalls_or_answers_garbage() {
    let (proxy, _instance) = stage().await;
    proxy.set(Some(Ill::Reset));
    let mut stream = connect(&proxy).await;
    stream.write_all(b"one").await.unwrap();
    let error = timeout(Duration::from_secs(5), stream.read(&mut [0; 16])).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    proxy.set(Some(Ill::Stall));
    assert_eq!(said(&mut connect(&proxy).await, b"two").await, None);
    proxy.set(Some(Ill::Garbage));
    assert_eq!(said(&mut connect(&proxy).await, b"three").await.unwrap(), GARBAGE);
    proxy.set(None);
    assert_eq!(said(&mut connect(&proxy).await, b"four").await.unwrap(), b"four");
}

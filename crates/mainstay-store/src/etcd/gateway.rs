//! The same API in JSON, as etcd's gateway has it: a `POST` of one message under `/v3`, numbers of 64 bits as strings,
//! bytes in base64, and a line of `{"result": …}` for each message of a stream.
//!
//! A call goes through the same door as one of gRPC: what is translated here is messages alone, by their description.
//! Fields are taken by either of their names, and fields that nobody knows are passed over, as etcd does. Unlike etcd no
//! origin is allowed: a page of the web has no business with the store.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::{Method as HttpMethod, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited, StreamBody};
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, SerializeOptions};
use serde_json::{Value, json};
use tonic::body::Body;
use tonic::{Code, Status};

use super::door::{Door, METHODS, Streams};
use super::pages::{JSON, not_allowed, not_found, text};
use super::refusal::{self, status};
use super::wire::DESCRIPTORS;

/// How long a request may take to come in.
const PATIENCE: Duration = Duration::from_secs(30);

/// The messages of a method.
struct Messages {
    request: MessageDescriptor,
    response: MessageDescriptor,
}

/// The descriptions of all methods, in the order of [`METHODS`].
pub(crate) struct Gateway {
    messages: Vec<Messages>,
}

impl Gateway {
    #[expect(clippy::expect_used, reason = "the description is part of the program; a test reads it")]
    pub(crate) fn new() -> Self {
        let pool = DescriptorPool::decode(DESCRIPTORS).expect("the description of the wire");
        let messages = METHODS.iter().map(|method| {
            let service = pool.get_service_by_name(method.service).expect("a service that is described");
            let described = service.methods().find(|described| described.name() == method.name);
            let described = described.expect("a method that is described");
            Messages { request: described.input(), response: described.output() }
        });
        Self { messages: messages.collect() }
    }

    /// Answers what is asked below `/v3`.
    pub(crate) async fn answer(&self, door: &Door, path: &str, request: Request<Body>) -> Response<Body> {
        if path.starts_with("/auth/") {
            return failed(&status(refusal::NO_AUTHENTICATION));
        }
        let Some(number) = METHODS.iter().position(|method| method.paths.contains(&path)) else { return not_found() };
        if request.method() != HttpMethod::POST {
            return not_allowed();
        }
        match self.call(door, number, request).await {
            Ok(answer) => answer,
            Err(why) => failed(&why),
        }
    }

    async fn call(&self, door: &Door, number: usize, request: Request<Body>) -> Result<Response<Body>, Status> {
        let (method, messages) = (&METHODS[number], &self.messages[number]);
        let (head, body) = request.into_parts();
        // Base64 makes four bytes of three, and names take some.
        let json = whole(body, door.face.settings.max_request * 2).await?;
        let frames = frames(&json, &messages.request, method.streams == Streams::Both)?;
        let mut call = Request::post(format!("/{}/{}", method.service, method.name))
            .header(header::CONTENT_TYPE, "application/grpc")
            .body(Body::new(http_body_util::Full::new(frames)))
            .map_err(|why| Status::internal(why.to_string()))?;
        let leader = ["hasleader", "grpc-metadata-hasleader"].iter().find_map(|name| head.headers.get(*name));
        if let Some(value) = leader {
            call.headers_mut().insert("hasleader", value.clone());
        }
        let answer = door.call(call).await;
        if let Some(why) = Status::from_header_map(answer.headers()).filter(|status| status.code() != Code::Ok) {
            return Err(why);
        }
        match method.streams {
            Streams::Neither => one(answer.into_body(), &messages.response).await,
            Streams::Server | Streams::Both => Ok(lines(answer.into_body(), messages.response.clone())),
        }
    }
}

/// The whole of a body that is not too large and does not take too long.
async fn whole(body: Body, most: usize) -> Result<Bytes, Status> {
    let collected = tokio::time::timeout(PATIENCE, Limited::new(body, most).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(why)) if why.is::<LengthLimitError>() => Err(status(refusal::TOO_LARGE)),
        Ok(Err(why)) => Err(Status::invalid_argument(why.to_string())),
        Err(_) => Err(status(refusal::DEADLINE)),
    }
}

/// The messages of a text as gRPC frames them: one, or as many as there are.
fn frames(json: &[u8], of: &MessageDescriptor, many: bool) -> Result<Bytes, Status> {
    let wrong = |why: serde_json::Error| Status::invalid_argument(why.to_string());
    let mut frames = BytesMut::new();
    let mut texts = serde_json::Deserializer::from_slice(json).into_iter::<Value>();
    for text in texts.by_ref().take(if many { usize::MAX } else { 1 }) {
        let mut text = text.map_err(wrong)?;
        pass_over_unknown(&mut text, of);
        frame(&DynamicMessage::deserialize(of.clone(), text).map_err(wrong)?, &mut frames)?;
    }
    if frames.is_empty() {
        frame(&DynamicMessage::new(of.clone()), &mut frames)?;
    }
    Ok(frames.freeze())
}

/// Takes away the fields that nobody knows. A word that nobody knows is left, and refused.
fn pass_over_unknown(text: &mut Value, of: &MessageDescriptor) {
    let Value::Object(fields) = text else { return };
    let known = |name: &str| of.get_field_by_name(name).or_else(|| of.get_field_by_json_name(name));
    fields.retain(|name, _| known(name).is_some());
    for (name, value) in fields {
        let Some(Kind::Message(within)) = known(name).map(|field| field.kind()) else { continue };
        match value {
            Value::Array(values) => values.iter_mut().for_each(|value| pass_over_unknown(value, &within)),
            value => pass_over_unknown(value, &within),
        }
    }
}

fn frame(message: &DynamicMessage, into: &mut BytesMut) -> Result<(), Status> {
    let length = u32::try_from(message.encoded_len()).map_err(|_| status(refusal::TOO_LARGE))?;
    into.put_u8(0);
    into.put_u32(length);
    message.encode(into).map_err(|why| Status::internal(why.to_string()))
}

/// Takes the next message from what has come, if it is whole.
fn unframe(from: &mut BytesMut) -> Option<Bytes> {
    let head = from.get(..5)?;
    let length = usize::try_from(u32::from_be_bytes([head[1], head[2], head[3], head[4]])).ok()?;
    if from.len() < 5 + length {
        return None;
    }
    from.advance(5);
    Some(from.split_to(length).freeze())
}

/// A message as JSON.
fn told(message: Bytes, of: &MessageDescriptor) -> Result<String, Status> {
    let internal = |why: &dyn std::fmt::Display| Status::internal(why.to_string());
    let message = DynamicMessage::decode(of.clone(), message).map_err(|why| internal(&why))?;
    let mut json = serde_json::Serializer::new(Vec::new());
    let options = SerializeOptions::new().use_proto_field_name(true);
    message.serialize_with_options(&mut json, &options).map_err(|why| internal(&why))?;
    String::from_utf8(json.into_inner()).map_err(|why| internal(&why))
}

/// The answer of one message. What it is comes after it.
async fn one(body: Body, of: &MessageDescriptor) -> Result<Response<Body>, Status> {
    let collected = body.collect().await?;
    if let Some(why) = collected.trailers().and_then(Status::from_header_map).filter(|why| why.code() != Code::Ok) {
        return Err(why);
    }
    let mut bytes = BytesMut::from(collected.to_bytes());
    let message = unframe(&mut bytes).ok_or_else(refusal::astray)?;
    Ok(text(StatusCode::OK, JSON, told(message, of)?))
}

/// What is left of a stream.
struct Lines {
    body: Body,
    come: BytesMut,
    of: MessageDescriptor,
}

impl Lines {
    /// The next line, until the stream ends; a failure is the last.
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        loop {
            if let Some(message) = unframe(&mut self.come) {
                return Some(match told(message, &self.of) {
                    Ok(json) => (format!("{{\"result\":{json}}}\n").into(), Some(self)),
                    Err(why) => (error_line(&why), None),
                });
            }
            match self.body.frame().await? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => self.come.extend_from_slice(&data),
                    Err(frame) => {
                        let why = Status::from_header_map(frame.trailers_ref()?)?;
                        return (why.code() != Code::Ok).then(|| (error_line(&why), None));
                    }
                },
                Err(why) => return Some((error_line(&why), None)),
            }
        }
    }
}

fn lines(body: Body, of: MessageDescriptor) -> Response<Body> {
    let lines = stream::unfold(Some(Lines { body, come: BytesMut::new(), of }), async |lines| lines?.next().await);
    let frames = lines.map(|line| Ok::<_, Status>(http_body::Frame::data(line)));
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(JSON));
    response
}

/// The code of HTTP for one of gRPC, as etcd's gateway has them.
fn http_code(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::REQUEST_TIMEOUT,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn failed(why: &Status) -> Response<Body> {
    let message = json!(why.message());
    let json = format!("{{\"error\":{message},\"message\":{message},\"code\":{}}}", i32::from(why.code()));
    text(http_code(why.code()), JSON, json)
}

fn error_line(why: &Status) -> Bytes {
    let code = http_code(why.code());
    let error = json!({
        "grpc_code": i32::from(why.code()),
        "http_code": code.as_u16(),
        "message": why.message(),
        "http_status": code.canonical_reason().unwrap_or_default(),
    });
    format!("{}\n", json!({ "error": error })).into()
}

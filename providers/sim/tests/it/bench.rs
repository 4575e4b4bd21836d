//! A cloud with short ways of asking it.

use std::collections::BTreeMap;

use rhumb_api::conformance::{Place, attributes, kinds, order, token};
use rhumb_api::{
    Answer, Attr, Call, Cloud, ErrorKind, Handle, Observed, Order, Reply, ResourceKind, Scope, Status, Token,
};
use rhumb_sim::{Event, SimCloud, World};

/// The place of most tests.
pub fn place() -> Place {
    Place { cloud: Cloud::Aws, region: "eu-west-1".to_owned(), instance_type: "m7i.xlarge".to_owned() }
}

/// A site.
pub fn site() -> Place {
    Place { cloud: Cloud::Site, region: "plant-1".to_owned(), instance_type: "l4-node".to_owned() }
}

/// A cloud, the time, and what was made in it.
pub struct Bench {
    pub cloud: SimCloud,
    pub now: u64,
    pub place: Place,
    pub ids: BTreeMap<ResourceKind, String>,
    tokens: u64,
}

impl Bench {
    pub fn new(world: World) -> Self {
        Bench::at(place(), world)
    }

    pub fn at(place: Place, world: World) -> Self {
        Bench { cloud: SimCloud::new(world), now: 0, place, ids: BTreeMap::new(), tokens: 0 }
    }

    /// Sends a call and waits for its answer.
    pub fn call(&mut self, call: Call) -> Answer {
        let number = self.cloud.submit(self.now, call);
        loop {
            let next = self.cloud.next_ms().expect("the call is answered");
            self.now = self.now.max(next);
            for (n, answer) in self.cloud.advance(self.now) {
                if n == number {
                    return answer;
                }
            }
        }
    }

    /// The thing that a call is answered with.
    pub fn one(&mut self, call: Call) -> Option<Observed> {
        match self.call(call.clone()) {
            Ok(Reply::One(seen)) => seen,
            other => panic!("{other:?} to {call:?}"),
        }
    }

    /// The error that a call is answered with.
    pub fn error(&mut self, call: Call) -> ErrorKind {
        match self.call(call.clone()) {
            Err(error) => error.kind,
            other => panic!("{other:?} to {call:?}"),
        }
    }

    pub fn token(&mut self) -> Token {
        self.tokens += 1;
        token(self.tokens)
    }

    /// An order of the sample of a kind, on what was made.
    pub fn order(&mut self, kind: ResourceKind) -> Order {
        let token = self.token();
        order(&self.place, kind, token, &self.ids)
    }

    /// The sample of a kind with other attributes.
    pub fn with(&mut self, kind: ResourceKind, changes: &[(&str, Attr)]) -> Order {
        let mut order = self.order(kind);
        for (name, value) in changes {
            order.resource.attributes.insert(name, value.clone());
        }
        order
    }

    pub fn wait(&mut self, ms: u64) {
        self.now += ms;
        assert!(self.cloud.advance(self.now).is_empty());
    }

    /// Waits until a thing is neither pending nor being removed; `None` once it is gone.
    pub fn settled(&mut self, handle: &Handle) -> Option<Observed> {
        loop {
            let seen = self.one(Call::Read(handle.clone()));
            match seen.as_ref().map(|seen| &seen.status) {
                Some(Status::Pending | Status::Deleting) => self.now += 100,
                _ => return seen,
            }
        }
    }

    /// Makes the thing of an order and waits until it is ready.
    pub fn make(&mut self, order: Order) -> Observed {
        let seen = self.one(Call::Create(order)).expect("it is made");
        let seen = self.settled(&seen.handle).expect("it is there");
        assert_eq!(seen.status, Status::Ready);
        self.ids.entry(seen.handle.kind).or_insert_with(|| seen.handle.id.clone());
        seen
    }

    /// Makes the samples of all kinds before one.
    pub fn before(&mut self, kind: ResourceKind) {
        for each in kinds(&self.place) {
            if *each == kind {
                return;
            }
            if attributes(&self.place, kind).contains_key(each.as_str())
                || matches!(each, ResourceKind::Network | ResourceKind::Firewall)
            {
                let order = self.order(*each);
                self.make(order);
            }
        }
    }

    /// Makes the sample of a kind with all that it stands on.
    pub fn sample(&mut self, kind: ResourceKind) -> Observed {
        self.before(kind);
        let order = self.order(kind);
        self.make(order)
    }

    pub fn remove(&mut self, handle: &Handle) {
        self.one(Call::Delete(handle.clone()));
        assert_eq!(self.settled(handle), None);
    }

    pub fn list(&mut self, token: Option<Token>) -> Vec<Observed> {
        let scope = Scope {
            cloud: self.place.cloud,
            region: self.place.region.clone(),
            lineage: rhumb_api::conformance::LINEAGE.to_owned(),
            token,
        };
        match self.call(Call::List(scope)) {
            Ok(Reply::Many(all)) => all,
            other => panic!("{other:?}"),
        }
    }

    pub fn events(&self, of: impl Fn(&Event) -> bool) -> usize {
        self.cloud.log().iter().filter(|entry| of(&entry.event)).count()
    }
}

//! What a broken adapter does with calls, other than sending them.

use rhumb_api::{Answer, Call, ErrorKind, Handle, Order, Owner, Reply, Scope, Status, preflight};

use super::broken::{Broken, Fault, UNKNOWN, err, one};

impl Broken {
    /// What is not sent as it came.
    pub(super) async fn instead(&self, call: &Call) -> Option<Answer> {
        match call {
            Call::Create(order) => self.instead_of_create(order).await,
            Call::Update(handle, order) => self.instead_of_update(handle, order).await,
            Call::Delete(handle) => self.instead_of_delete(handle).await,
            Call::Read(_) => None,
            Call::List(scope) => self.instead_of_list(scope).await,
        }
    }

    async fn instead_of_create(&self, order: &Order) -> Option<Answer> {
        let token = &order.tags.token;
        let before = self.memory().made.get(token).cloned();
        match (self.fault, before) {
            (Fault::IgnoresTokens, Some(_)) => Some(self.ask(self.anew(order)).await),
            (Fault::IgnoresTokensWhilePending, Some((_, made))) => {
                let seen = self.ask(Call::Read(made)).await;
                let pending = one(&seen).is_some_and(|seen| seen.status == Status::Pending);
                if pending { Some(self.ask(self.anew(order)).await) } else { None }
            }
            (Fault::ChangedOrderMakesASecond, Some((was, _))) if was != *order => {
                Some(self.ask(self.anew(order)).await)
            }
            (Fault::ForgetsTokensOfTheGone, Some((_, made))) if self.memory().removed.contains(&made) => {
                Some(self.ask(self.anew(order)).await)
            }
            (Fault::HidesTheRepeated, Some((_, made))) => {
                let answer = self.ask(Call::Create(order.clone())).await;
                self.memory().refused.push(made);
                Some(answer)
            }
            (Fault::OneThingPerAddress, None) => {
                let same = |(was, made): &(Order, Handle)| {
                    let (a, b) = (&was.tags, &order.tags);
                    let tags = a.address == b.address && a.lineage == b.lineage;
                    (tags && made.region == order.resource.region).then(|| made.clone())
                };
                let standing = self.memory().made.values().find_map(same)?;
                let seen = self.ask(Call::Read(standing)).await;
                one(&seen).is_some().then_some(seen)
            }
            (Fault::MakesWithoutSecrets, None) if !preflight::secrets(&order.resource).is_empty() => {
                let mut order = order.clone();
                order.resource.attributes.remove("api_keys");
                order.resource.attributes.remove("tls_certificate");
                Some(self.ask(Call::Create(order)).await)
            }
            (Fault::RunsDoNotWait, None) if order.resource.attributes.contains_key("after") => {
                let mut order = order.clone();
                order.resource.attributes.remove("after");
                Some(self.ask(Call::Create(order)).await)
            }
            (Fault::LeavesOutTheUnknown, _) if order.resource.attributes.contains_key(UNKNOWN) => {
                let mut order = order.clone();
                order.resource.attributes.remove(UNKNOWN);
                Some(self.ask(Call::Create(order)).await)
            }
            _ => None,
        }
    }

    async fn instead_of_update(&self, handle: &Handle, order: &Order) -> Option<Answer> {
        match self.fault {
            Fault::UpdatesNothing => {
                let seen = self.ask(Call::Read(handle.clone())).await;
                one(&seen).is_some().then_some(seen)
            }
            Fault::UpdateKeepsWhatWasDropped => {
                let seen = self.ask(Call::Read(handle.clone())).await;
                let mut order = order.clone();
                for (name, value) in &one(&seen)?.attributes {
                    if !order.resource.attributes.contains_key(name) {
                        order.resource.attributes.insert(name, value.clone());
                    }
                }
                Some(self.ask(Call::Update(handle.clone(), order)).await)
            }
            Fault::UpdatesWhatIsOthers => {
                let seen = self.ask(Call::Read(handle.clone())).await;
                let tags = one(&seen)?.tags.clone();
                let takes_over = Some(tags.map_or(Owner::Nobody, |tags| Owner::Lineage(tags.lineage)));
                Some(self.ask(Call::Update(handle.clone(), Order { takes_over, ..order.clone() })).await)
            }
            Fault::TakesOverInWordsAlone if order.takes_over.is_some() => {
                Some(self.ask(Call::Read(handle.clone())).await)
            }
            Fault::FailedStaysFailed => {
                let seen = self.ask(Call::Read(handle.clone())).await;
                let failed = one(&seen).is_some_and(|seen| matches!(seen.status, Status::Failed(_)));
                failed.then(|| err(ErrorKind::Invalid, "it has failed"))
            }
            Fault::SameUpdateIsInvalid => {
                let same = self.memory().updates.get(handle).map(|was| was.resource.clone());
                (same.as_ref() == Some(&order.resource))
                    .then(|| err(ErrorKind::Invalid, "no changes to be made"))
            }
            Fault::UpdatesByAddress => {
                for other in self.namesakes(handle) {
                    drop(self.ask(Call::Update(other, order.clone())).await);
                }
                None
            }
            _ => None,
        }
    }

    async fn instead_of_delete(&self, handle: &Handle) -> Option<Answer> {
        match self.fault {
            Fault::DeletesNothing => Some(Ok(Reply::One(None))),
            Fault::DeletesByAddress => {
                for other in self.namesakes(handle) {
                    drop(self.ask(Call::Delete(other)).await);
                }
                None
            }
            Fault::ConflictIsForEver if self.memory().refused.contains(handle) => {
                Some(err(ErrorKind::Conflict, "something stands on it"))
            }
            _ => None,
        }
    }

    async fn instead_of_list(&self, scope: &Scope) -> Option<Answer> {
        let here = |(lineage, region): &(String, String)| match self.fault {
            Fault::ListsIgnoreLineages => *region == scope.region,
            _ => *lineage == scope.lineage,
        };
        match self.fault {
            Fault::ListsIgnoreTokens => {
                let scope = Scope { token: None, ..scope.clone() };
                Some(self.ask(Call::List(scope)).await)
            }
            Fault::ListsIgnoreLineages | Fault::ListsIgnoreRegions => {
                let all: Vec<_> = self.memory().lineages.iter().filter(|at| here(at)).cloned().collect();
                let mut merged = Vec::new();
                for (lineage, region) in all {
                    let scope = Scope { lineage, region, ..scope.clone() };
                    if let Ok(Reply::Many(more)) = self.ask(Call::List(scope)).await {
                        merged.extend(more);
                    }
                }
                merged.sort_by(|a, b| a.handle.cmp(&b.handle));
                Some(Ok(Reply::Many(merged)))
            }
            _ => None,
        }
    }
}

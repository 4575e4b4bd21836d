//! What machines take of quotas: of thousands of sites few have any, and thousands of workloads keep them.

/// Each site's quotas, see [`Rows::quotas`](super::Rows::quotas).
pub struct Quotas {
    /// Where those of a site begin.
    begins: Vec<u32>,
    all: Vec<(usize, i64, i64)>,
}

impl Quotas {
    /// Those of each site, in order.
    pub fn of(each: impl Iterator<Item = Vec<(usize, i64, i64)>>) -> Self {
        let mut quotas = Quotas { begins: vec![0], all: Vec::new() };
        each.for_each(|own| quotas.push(own));
        quotas
    }

    /// Those of one more site.
    pub fn push(&mut self, own: Vec<(usize, i64, i64)>) {
        self.all.extend(own);
        self.begins.push(self.all.len() as u32);
    }

    /// What a machine of a site takes: row, bought as planned, as spot.
    pub fn at(&self, site: usize) -> &[(usize, i64, i64)] {
        let of = |i: usize| self.begins.get(i).map_or(self.all.len(), |n| *n as usize);
        &self.all[of(site)..of(site + 1)]
    }

    /// How many sites there are.
    pub fn len(&self) -> usize {
        self.begins.len() - 1
    }

    /// The rows of all sites, as often as they are named.
    pub fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.all.iter().map(|(row, ..)| *row)
    }
}

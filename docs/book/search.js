// The words of a Chinese query. Sphinx's search takes a run of Chinese characters for one word, while the index holds
// the words of jieba, and Sphinx 9.0 names a stemmer for Chinese that it does not bring along.
"use strict";

function ChineseStemmer() {
  return new EnglishStemmer(); // as the index has it; Chinese stays as it is
}

function splitQuery(query) {
  const known = (word) => Object.hasOwn(Search._index.terms, word) || Object.hasOwn(Search._index.titleterms, word);
  const longest = (text) => {
    const words = [];
    let start = 0;
    while (start < text.length) {
      let stop = text.length;
      while (stop > start + 1 && !known(text.slice(start, stop))) stop--;
      if (stop > start + 1) words.push(text.slice(start, stop));
      start = stop;
    }
    return words.length ? words : [text];
  };
  return query
    .split(/[^\p{Letter}\p{Number}_]+/u)
    .flatMap((text) => text.match(/\p{Script=Han}+|\P{Script=Han}+/gu) ?? [])
    .flatMap((part) => (/\p{Script=Han}/u.test(part) ? longest(part) : [part]));
}

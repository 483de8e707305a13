// The runs that a reader keeps outlive a reload: the browser's database holds them under the name
// of this tab, this page and the widget's place on it, for a week.

const WEEK = 7 * 24 * 3600 * 1000;

function keptRuns() {
  const page = document.documentElement.dataset;
  const place = Number(page.kitPages ?? 0);
  page.kitPages = place + 1;
  const answered = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const open = async () => {
    const tab = sessionStorage.getItem("kit-tab") ?? String(Math.random()).slice(2);
    sessionStorage.setItem("kit-tab", tab);
    const request = indexedDB.open("kit", 1);
    request.onupgradeneeded = () => {
      const store = request.result.createObjectStore("kept", { keyPath: ["owner", "letter"] });
      store.createIndex("at", "at");
    };
    return { base: await answered(request), owner: `${tab} ${location.pathname} ${place}` };
  };
  const opened = open();
  // What the request answers; undefined where there is no database.
  async function use(what) {
    try {
      const { base, owner } = await opened;
      const store = base.transaction("kept", "readwrite").objectStore("kept");
      const mine = IDBKeyRange.bound([owner, ""], [owner, "\uffff"]);
      return await answered(what(store, mine, owner));
    } catch {
      return undefined;
    }
  }
  async function forgetOld() {
    const old = IDBKeyRange.upperBound(Date.now() - WEEK);
    const keys = (await use((store) => store.index("at").getAllKeys(old))) ?? [];
    for (const key of keys) await use((store) => store.delete(key));
  }
  return {
    remember: (letter, text) =>
      use((store, _, owner) => store.put({ owner, letter, text, at: Date.now() })),
    forget: () => use((store, mine) => store.delete(mine)),
    async all() {
      await forgetOld();
      return (await use((store, mine) => store.getAll(mine))) ?? [];
    },
  };
}

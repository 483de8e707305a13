// The runs that a reader keeps outlive a reload: the browser's database holds them under the name
// of this tab and this page, for a week. Where there is no database, a reload forgets them.

const WEEK = 7 * 24 * 3600 * 1000;

function keptRuns() {
  const answered = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const open = async () => {
    const name = sessionStorage.getItem("kit-tab") ?? String(Math.random()).slice(2);
    sessionStorage.setItem("kit-tab", name);
    const request = indexedDB.open("kit", 1);
    request.onupgradeneeded = () =>
      request.result.createObjectStore("kept", { keyPath: ["owner", "letter"] });
    return { base: await answered(request), owner: `${name} ${location.pathname}` };
  };
  const opened = open();
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
  return {
    remember: (letter, text) =>
      use((store, _, owner) => store.put({ owner, letter, text, at: Date.now() })),
    forget: () => use((store, mine) => store.delete(mine)),
    async all() {
      const { owner } = await opened.catch(() => ({}));
      const every = (await use((store) => store.getAll())) ?? [];
      for (const run of every.filter(({ at }) => Date.now() - at > WEEK)) {
        await use((store) => store.delete([run.owner, run.letter]));
      }
      return every.filter((run) => run.owner === owner);
    },
  };
}

import { createRoot } from "react-dom/client";
import { Upload } from "./Upload";

const page = document.getElementById("page");
if (page === null) throw new Error("the page has no place for the component");

const { baseUrl = "http://127.0.0.1:8080" } = page.dataset;

// In place of this: the session of your users.
createRoot(page).render(<Upload baseUrl={baseUrl} token={async () => "the user's access token"} />);

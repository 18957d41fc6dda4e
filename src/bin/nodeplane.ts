/** The executable: picks the command and loads only what it needs. */
import { main } from "../cli/main.ts";

process.exitCode = await main(process.argv.slice(2));

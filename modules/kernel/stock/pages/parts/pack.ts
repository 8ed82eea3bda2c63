/** What a scanned trace code is (POST …/packs): a box, a carton with the boxes in it, or unknown with the reason. */
export interface Box { code: string; drug_id: number | null; state: string; text: string; store_id: number | null }
export interface Pack extends Box { kind: 'box' | 'carton' | 'unknown'; boxes: Box[]; message: string }

/** The boxes that a scan stands for. */
export const boxesOf = (pack: Pack): Box[] => (pack.kind === 'carton' ? pack.boxes : [pack])
